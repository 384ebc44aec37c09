//! Case 28: a million guesses at a token.
//!
//! A token's id is no secret; its seed has 128 bits, so that a million guesses find it with a probability below 2⁻¹⁰⁸. And nobody gets as
//! many: each costs two requests, of which an address has 100 a minute, and a token lives for a day.
//!
//! A guess is a signature that is made and one that is checked, some 80 µs of a processor; nothing else of it costs as much, and neither
//! can be left out where the coordinator's own check is to be asked. The million takes over a minute of computing, spread over all
//! processors.

use std::{sync::atomic::Ordering, thread, time::Duration};

use p2p_client::protocol::{CallerId, UnixMillis};

use super::{
    super::{
        JoinToken, Refused, TokenOptions, TokenTable, codec,
        coordinators::*,
        join::{self, Hello, Prove},
    },
    made_up,
};
use crate::{
    config::RateLimitConfig,
    limits::{Budget, Limits},
};

const NOW: UnixMillis = UnixMillis(1_000_000_000_000);
const GUESSES: u32 = 1_000_000;

/// A coordinator's side of joining without its limits, with a token that is known but for its seed.
struct Lock {
    desk: join::Desk,
    tokens: TokenTable,
    hello: Hello,
    token: JoinToken,
}

async fn lock(seed: Option<[u8; 16]>) -> Lock {
    let desk = desk();
    let token = made_up(&desk.token().await, None, seed);
    let hello = desk.worker(&token, "w", "10.0.0.9").hello().clone();
    let mut tokens = TokenTable::default();
    tokens.create(&token, TokenOptions::default(), NOW).unwrap();
    Lock { desk: join::Desk::default(), tokens, hello, token }
}

impl Lock {
    /// The same token at a desk of its own, for guesses that are made at the same time.
    fn beside(&self) -> Self {
        let mut tokens = TokenTable::default();
        tokens.create(&self.token, TokenOptions::default(), NOW).unwrap();
        Self { desk: join::Desk::default(), tokens, hello: self.hello.clone(), token: self.token.clone() }
    }

    /// Tries a seed by an attempt of its own, as the protocol asks. True when it is the token's.
    fn opens_with(&mut self, seed: [u8; 16]) -> bool {
        let guess = made_up(&self.token, None, Some(seed));
        let remote = "10.6.6.6".parse().unwrap();
        let nonce = self.desk.hello(self.hello.clone(), channel(), remote, 8802, &self.tokens, NOW).unwrap().nonce;
        let csr = b"looked at only after the proof".to_vec();
        let proof = guess.sign(&self.hello.transcript(&channel(), &nonce, &csr)).unwrap();
        match self.desk.prove(&Prove { nonce, csr, proof }, &channel(), &self.tokens, NOW).unwrap_err() {
            Refused::BadProof => false,
            Refused::BadRequest { .. } => true,
            other => panic!("{other}"),
        }
    }
}

/// As people make up secrets.
fn digits(number: u32) -> [u8; 16] {
    format!("{number:016}").into_bytes().try_into().unwrap()
}

fn seed_of(token: &JoinToken) -> [u8; 16] {
    codec::decode(token.reveal().split('.').nth(1).unwrap()).unwrap()[40..].try_into().unwrap()
}

#[tokio::test]
async fn case_28_no_guess_that_is_off_by_one_bit_opens() {
    let mut lock = lock(None).await;
    let right = seed_of(&lock.token);
    for bit in 0..128 {
        assert!(!lock.opens_with((u128::from_be_bytes(right) ^ 1 << bit).to_be_bytes()), "bit {bit}");
    }
    assert_eq!(lock.desk.waiting(), 0, "they leave nothing behind");
    assert!(lock.opens_with(right), "and do not lock out who has the token");
}

/// Makes this many guesses, on all processors, none of which opens; the token opens afterwards.
fn all_guess_in_vain(lock: &Lock, guesses: u32) {
    let threads = u32::try_from(thread::available_parallelism().unwrap().get()).unwrap();
    let guessing = (0..threads).map(|thread| {
        let mut own = lock.beside();
        thread::spawn(move || {
            let made =
                (thread..guesses).step_by(threads as usize).inspect(|number| assert!(!own.opens_with(digits(*number)))).count();
            assert!(own.opens_with(seed_of(&own.token)));
            made
        })
    });
    let made: usize = guessing.collect::<Vec<_>>().into_iter().map(|guessing| guessing.join().unwrap()).sum();
    assert_eq!(u32::try_from(made), Ok(guesses));
}

#[tokio::test]
async fn case_28_a_million_guesses_open_nothing_and_the_token_opens_afterwards() {
    all_guess_in_vain(&lock(None).await, GUESSES);
}

/// It is no check that keeps guesses out, but how many seeds there are: there is nothing to leave out. So the control is the product with a token whose seed is
/// one of few.
#[tokio::test]
async fn case_28_control_the_same_guesses_open_a_secret_of_four_digits() {
    let mut lock = lock(Some(digits(7_351))).await;
    assert_eq!((0..GUESSES).position(|number| lock.opens_with(digits(number))), Some(7_351));
}

#[tokio::test]
async fn case_28_a_wrong_guess_ends_its_attempt_and_costs_the_coordinator_neither_a_write_nor_a_call() {
    let desk = desk();
    let token = desk.token().await;
    let joiner = desk.worker(&token, "w", "10.0.0.9");
    let writes = desk.vault.updates.load(Ordering::SeqCst);
    let reply = hello(&desk.issuer, &joiner, &channel()).await.unwrap();
    let right = joiner.prove(&channel(), &reply).unwrap();
    let wrong = Prove { proof: vec![0; right.proof.len()], ..right.clone() };
    assert_eq!(send(&desk.issuer, wrong, &channel()).await.unwrap_err(), Refused::BadProof);
    assert_eq!(send(&desk.issuer, right, &channel()).await.unwrap_err(), Refused::UnknownAttempt, "one nonce, one guess");
    assert_eq!(desk.vault.updates.load(Ordering::SeqCst), writes);
    assert!(desk.world.called.lock().unwrap().is_empty());
    // A connection has no more attempts at once than its address, all of which end within a minute.
    let mut waiting = 0;
    let refused = loop {
        match hello(&desk.issuer, &joiner, &channel()).await {
            Ok(_) => waiting += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((waiting, refused), (64, Refused::Busy));
}

#[tokio::test(start_paused = true)]
async fn case_28_an_address_has_fewer_guesses_in_the_life_of_a_token_than_the_million_which_find_nothing() {
    let limits = Limits::new(&RateLimitConfig::default());
    let mut requests = 0_u32;
    for _minute in 0..TokenOptions::default().ttl.as_secs() / 60 {
        while limits.draw(&CallerId::Anonymous, None, "10.6.6.6".parse().ok(), Budget::Rpc).is_ok() {
            requests += 1;
        }
        // Often enough that no request which could have been had is missed.
        for _ in 0..6 {
            tokio::time::advance(Duration::from_secs(10)).await;
            while limits.draw(&CallerId::Anonymous, None, "10.6.6.6".parse().ok(), Budget::Rpc).is_ok() {
                requests += 1;
            }
        }
    }
    let guesses = requests / 2;
    assert!((70_000..=72_020).contains(&guesses), "{guesses}");
    let bits_of_seed = 8 * u32::try_from(size_of_val(&seed_of(&desk().token().await))).unwrap();
    assert!(f64::from(bits_of_seed) - 1e6_f64.log2() > 108.0);
}

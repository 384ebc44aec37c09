//! The coordinator's side of a join as a pure state machine: who said hello on which connection, and who proved what.
//!
//! Nothing here is durable and nothing calls anybody: [`Desk::hello`] remembers an attempt for a minute,
//! [`Desk::prove`] takes it back and turns it into a [`Candidate`] if the proof holds. The number of attempts is bounded
//! in all and for each remote address, so that strangers cannot fill the memory. Attempts by tokens that are not known here have bounds
//! of their own: anybody can make such tokens up, and none of them keeps out who has a real one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    revocation::KeyHash,
    wire::tls::ChannelBinding,
};

use super::{
    Refused,
    checks::{Check, holds},
    messages::{Hello, HelloReply, JOIN_VERSION, MAX_ADDRESSES, Nonce, Prove},
};
use crate::identity::{
    address::Host,
    codec,
    key::PublicKey,
    token::TokenId,
    token_table::{TokenRefused, TokenTable},
};

/// How many attempts are remembered at once: so many by tokens that are known here, and as many by others.
pub(crate) const MAX_PENDING: usize = 1024;
/// How many of them may come from one remote address (one /64 in IPv6).
pub(crate) const MAX_PENDING_EACH: usize = 64;
/// How long an attempt is remembered, in milliseconds.
pub(crate) const PENDING_MS: u64 = 60_000;

#[derive(Debug)]
struct Attempt {
    hello: Hello,
    channel: ChannelBinding,
    challenge: String,
    remote: IpAddr,
    /// Whether its token is known here.
    by_known_token: bool,
    until: UnixMillis,
}

/// Who proved to have the token it names. What the token allows is still to be checked.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The name that the node wants.
    pub node_id: NodeId,
    /// The role that it wants.
    pub role: Role,
    /// The addresses that it claims.
    pub addresses: Vec<Host>,
    /// The token that it has.
    pub token: TokenId,
    /// Its public key.
    pub key: PublicKey,
    /// The challenge that its addresses have to answer.
    pub challenge: String,
}

/// A node that has proved itself, and waits for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applicant {
    /// Its name.
    pub(crate) node_id: NodeId,
    /// Its key.
    pub(crate) key: KeyHash,
    /// The token by which it asks.
    pub(crate) token: TokenId,
}

/// A connection on which a node has proved itself, and waits for an operator.
#[derive(Debug)]
struct Waiter {
    who: Applicant,
    channel: ChannelBinding,
    until: UnixMillis,
}

/// The attempts to join that wait for their proof, and the connections on which nodes wait for an operator.
#[derive(Debug, Default)]
pub struct Desk {
    attempts: HashMap<Nonce, Attempt>,
    waiters: HashMap<Nonce, Waiter>,
}

/// Addresses that one machine has many of count as one.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Desk {
    /// Takes a first message. `port` is where the joiner will be called back.
    ///
    /// # Errors
    /// Another version, no or too many addresses, or too many attempts under way.
    pub fn hello(
        &mut self,
        hello: Hello,
        channel: ChannelBinding,
        remote: IpAddr,
        port: u16,
        tokens: &TokenTable,
        now: UnixMillis,
    ) -> Result<HelloReply, Refused> {
        if hello.version != JOIN_VERSION {
            return Err(Refused::Version { got: hello.version });
        }
        if hello.addresses.is_empty() || hello.addresses.len() > MAX_ADDRESSES {
            return Err(Refused::Malformed {
                what: format!("it claims {} addresses; claim 1 to {MAX_ADDRESSES}", hello.addresses.len()),
            });
        }
        self.attempts.retain(|_, attempt| attempt.until > now);
        let (remote, by_known_token) = (origin(remote), tokens.get(hello.token_id).is_some());
        if !self.has_room_for(remote, by_known_token) {
            return Err(Refused::Busy);
        }
        let (mut nonce, mut challenge) = ([0; 32], [0; 16]);
        let random = aws_lc_rs::rand::fill(&mut nonce).and_then(|()| aws_lc_rs::rand::fill(&mut challenge));
        random.map_err(|_| Refused::Unavailable { reason: "no random bytes".into() })?;
        let (nonce, challenge) = (Nonce(nonce), codec::encode(&challenge));
        let until = UnixMillis(now.0.saturating_add(PENDING_MS));
        self.attempts.insert(nonce, Attempt { hello, channel, challenge: challenge.clone(), remote, by_known_token, until });
        Ok(HelloReply { nonce, challenge, port, clock: now })
    }

    fn has_room_for(&self, remote: IpAddr, by_known_token: bool) -> bool {
        let alike = || self.attempts.values().filter(|attempt| attempt.by_known_token == by_known_token);
        alike().count() < MAX_PENDING && alike().filter(|attempt| attempt.remote == remote).count() < MAX_PENDING_EACH
    }

    /// Takes a second message: the attempt must be of this very connection, and ends here whatever comes of it.
    ///
    /// # Errors
    /// The attempt or the token is unknown, the proof does not hold, or the certificate request is unusable.
    pub fn prove(
        &mut self,
        message: &Prove,
        channel: &ChannelBinding,
        tokens: &TokenTable,
        now: UnixMillis,
    ) -> Result<Candidate, Refused> {
        match self.attempts.get(&message.nonce) {
            Some(attempt) if holds(Check::Channel, attempt.channel == *channel) && attempt.until > now => {}
            _ => return Err(Refused::UnknownAttempt),
        }
        let attempt = self.attempts.remove(&message.nonce).ok_or(Refused::UnknownAttempt)?;
        let token = tokens.get(attempt.hello.token_id).ok_or(TokenRefused::Unknown)?;
        let transcript = attempt.hello.transcript(channel, &message.nonce, &message.csr);
        if !token.key.verify(&transcript, &message.proof) {
            return Err(Refused::BadProof);
        }
        let key = PublicKey::from_request(&message.csr).map_err(|e| Refused::BadRequest { reason: e.to_string() })?;
        let Hello { node_id, role, mut addresses, token_id, .. } = attempt.hello;
        addresses.sort();
        addresses.dedup();
        Ok(Candidate { node_id, role, addresses, token: token_id, key, challenge: attempt.challenge })
    }

    /// Who says to make this attempt; nothing of it is proved.
    pub(crate) fn claims(&self, nonce: &Nonce) -> Option<NodeId> {
        self.attempts.get(nonce).map(|attempt| attempt.hello.node_id.clone())
    }

    /// Lets a node that has proved itself on this connection by this nonce ask there whether an operator has decided. Where too many do, it has to
    /// prove itself anew for that.
    pub(crate) fn let_wait(&mut self, nonce: Nonce, channel: ChannelBinding, who: Applicant, now: UnixMillis) {
        self.waiters.retain(|_, waiter| waiter.until > now);
        if self.waiters.len() < MAX_PENDING {
            self.waiters.insert(nonce, Waiter { who, channel, until: UnixMillis(now.0.saturating_add(PENDING_MS)) });
        }
    }

    /// The node that waits on this connection. It may ask again within a minute.
    ///
    /// # Errors
    /// Nobody waits on this connection by this nonce.
    pub(crate) fn waiter(&mut self, nonce: &Nonce, channel: &ChannelBinding, now: UnixMillis) -> Result<Applicant, Refused> {
        match self.waiters.get_mut(nonce) {
            Some(waiter) if waiter.channel == *channel && waiter.until > now => {
                waiter.until = UnixMillis(now.0.saturating_add(PENDING_MS));
                Ok(waiter.who.clone())
            }
            _ => Err(Refused::UnknownAttempt),
        }
    }

    /// How many attempts wait.
    pub fn waiting(&self) -> usize {
        self.attempts.len()
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::wire::tls::RootKeyHash;

    use super::*;
    use crate::identity::{join::Joiner, key::NodeKey, token::JoinToken, token_table::TokenOptions};

    const NOW: UnixMillis = UnixMillis(1_000_000_000_000);
    const REMOTE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    struct Case {
        desk: Desk,
        tokens: TokenTable,
        token: JoinToken,
        channel: ChannelBinding,
    }

    fn case() -> Case {
        let token = JoinToken::generate(RootKeyHash::new([3; 32])).unwrap();
        let mut tokens = TokenTable::default();
        tokens.create(&token, TokenOptions::default(), NOW).unwrap();
        Case { desk: Desk::default(), tokens, token, channel: ChannelBinding::from_bytes([5; 32]) }
    }

    fn joiner(token: &JoinToken) -> Joiner {
        let addresses = vec!["10.0.0.9".parse().unwrap(), "10.0.0.8".parse().unwrap(), "10.0.0.9".parse().unwrap()];
        Joiner::new(token.clone(), "w".parse().unwrap(), Role::Worker, addresses, NodeKey::generate().unwrap()).unwrap()
    }

    impl Case {
        fn say(&mut self, hello: &Hello, remote: IpAddr, now: UnixMillis) -> Result<HelloReply, Refused> {
            self.desk.hello(hello.clone(), self.channel.clone(), remote, 8802, &self.tokens, now)
        }

        fn hello(&mut self, joiner: &Joiner) -> HelloReply {
            self.desk.hello(joiner.hello().clone(), self.channel.clone(), REMOTE, 8802, &self.tokens, NOW).unwrap()
        }
    }

    #[test]
    fn who_has_the_token_becomes_a_candidate() {
        let mut case = case();
        let joiner = joiner(&case.token);
        let reply = case.hello(&joiner);
        let prove = joiner.prove(&case.channel, &reply).unwrap();
        let candidate = case.desk.prove(&prove, &case.channel, &case.tokens, NOW).unwrap();
        assert_eq!(candidate.node_id, "w");
        assert_eq!(candidate.addresses.len(), 2);
        assert_eq!(candidate.challenge, reply.challenge);
        assert_eq!(case.desk.waiting(), 0);
    }

    #[test]
    fn a_nonce_works_once_and_only_on_its_own_connection_and_for_a_minute() {
        let mut case = case();
        let joiner = joiner(&case.token);
        let reply = case.hello(&joiner);
        let prove = joiner.prove(&case.channel, &reply).unwrap();
        let elsewhere = ChannelBinding::from_bytes([6; 32]);
        assert_eq!(case.desk.prove(&prove, &elsewhere, &case.tokens, NOW).unwrap_err(), Refused::UnknownAttempt);
        let late = UnixMillis(NOW.0 + PENDING_MS);
        assert_eq!(case.desk.prove(&prove, &case.channel, &case.tokens, late).unwrap_err(), Refused::UnknownAttempt);
        case.desk.prove(&prove, &case.channel, &case.tokens, NOW).unwrap();
        assert_eq!(case.desk.prove(&prove, &case.channel, &case.tokens, NOW).unwrap_err(), Refused::UnknownAttempt);
    }

    #[test]
    fn who_waits_for_an_operator_asks_on_its_own_connection_only_and_at_least_once_a_minute() {
        let mut case = case();
        let nonce = Nonce([1; 32]);
        let who = Applicant { node_id: "w".parse().unwrap(), key: KeyHash::new([2; 32]), token: case.token.id() };
        case.desk.let_wait(nonce, case.channel.clone(), who.clone(), NOW);
        assert_eq!(case.desk.waiter(&nonce, &case.channel, NOW).as_ref(), Ok(&who));
        let elsewhere = ChannelBinding::from_bytes([6; 32]);
        assert_eq!(case.desk.waiter(&nonce, &elsewhere, NOW), Err(Refused::UnknownAttempt));
        assert_eq!(case.desk.waiter(&Nonce([3; 32]), &case.channel, NOW), Err(Refused::UnknownAttempt));
        let soon = UnixMillis(NOW.0 + PENDING_MS - 1);
        assert_eq!(case.desk.waiter(&nonce, &case.channel, soon).as_ref(), Ok(&who));
        let late = UnixMillis(soon.0 + PENDING_MS);
        assert_eq!(case.desk.waiter(&nonce, &case.channel, late), Err(Refused::UnknownAttempt));
        for n in 0..2 * MAX_PENDING as u64 {
            let mut nonce = Nonce([9; 32]);
            nonce.0[..8].copy_from_slice(&n.to_be_bytes());
            case.desk.let_wait(nonce, case.channel.clone(), who.clone(), soon);
        }
        assert_eq!(case.desk.waiters.len(), MAX_PENDING);
    }

    #[test]
    fn unknown_tokens_and_guessed_seeds_are_refused() {
        let mut case = case();
        let stranger = joiner(&JoinToken::generate(RootKeyHash::new([3; 32])).unwrap());
        let reply = case.hello(&stranger);
        let prove = stranger.prove(&case.channel, &reply).unwrap();
        let said = case.desk.prove(&prove, &case.channel, &case.tokens, NOW).unwrap_err();
        assert_eq!(said, Refused::Token(TokenRefused::Unknown));

        let mut hello = stranger.hello().clone();
        hello.token_id = case.token.id();
        let reply = case.desk.hello(hello, case.channel.clone(), REMOTE, 8802, &case.tokens, NOW).unwrap();
        let prove = stranger.prove(&case.channel, &reply).unwrap();
        assert_eq!(case.desk.prove(&prove, &case.channel, &case.tokens, NOW).unwrap_err(), Refused::BadProof);
    }

    #[test]
    fn other_versions_and_senseless_claims_are_refused() {
        let mut case = case();
        let good = joiner(&case.token).hello().clone();
        let mut say = |hello: Hello| case.desk.hello(hello, case.channel.clone(), REMOTE, 8802, &case.tokens, NOW).unwrap_err();
        assert_eq!(say(Hello { version: 2, ..good.clone() }), Refused::Version { got: 2 });
        assert!(say(Hello { addresses: vec![], ..good.clone() }).to_string().contains("claims 0 addresses"));
        let many = vec!["10.0.0.1".parse().unwrap(); 17];
        assert!(say(Hello { addresses: many, ..good }).to_string().contains("claims 17 addresses"));
    }

    #[test]
    fn waiting_attempts_are_bounded_in_all_and_for_each_origin_and_end_by_themselves() {
        let mut case = case();
        let hello = joiner(&case.token).hello().clone();
        let mut say = |remote: IpAddr, now| case.say(&hello, remote, now);
        for _ in 0..MAX_PENDING_EACH {
            say("10.0.0.1".parse().unwrap(), NOW).unwrap();
        }
        assert_eq!(say("10.0.0.1".parse().unwrap(), NOW), Err(Refused::Busy));
        assert_eq!(say("::ffff:10.0.0.1".parse().unwrap(), NOW), Err(Refused::Busy));
        for n in MAX_PENDING_EACH..MAX_PENDING {
            let remote = IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | ((n as u128) << 64)));
            say(remote, NOW).unwrap();
        }
        assert_eq!(say("10.9.9.9".parse().unwrap(), NOW), Err(Refused::Busy));
        say("10.0.0.1".parse().unwrap(), UnixMillis(NOW.0 + PENDING_MS)).unwrap();
        assert_eq!(case.desk.waiting(), 1);
    }

    #[test]
    fn strangers_with_tokens_that_they_made_up_keep_nobody_out_who_has_a_real_one() {
        let mut case = case();
        let honest = joiner(&case.token).hello().clone();
        let made_up = joiner(&JoinToken::generate(RootKeyHash::new([3; 32])).unwrap()).hello().clone();
        let network = |n: usize| IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | ((n as u128) << 64)));
        for n in 0..MAX_PENDING {
            case.say(&made_up, network(n / MAX_PENDING_EACH), NOW).unwrap();
        }
        assert_eq!(case.say(&made_up, network(MAX_PENDING), NOW), Err(Refused::Busy), "they are bounded themselves");
        for remote in [network(MAX_PENDING), network(0)] {
            case.say(&honest, remote, NOW).unwrap();
        }
        assert_eq!(case.desk.waiting(), MAX_PENDING + 2);
    }
}

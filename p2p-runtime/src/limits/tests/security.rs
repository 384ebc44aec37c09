//! Cases 54 and 55 of the project's list of security and fault cases, each with the control that shows what the unsafe variant would do.

use super::super::{
    addresses::{
        ForwardedBy, TrustedProxies, address,
        tests::{headers, ip, proxies},
    },
    bucket::Rate,
    table::BucketTable,
};

const SECOND: u64 = 1_000_000_000;

#[test]
fn case_54_a_spoofed_x_forwarded_for_is_believed_of_nobody_but_a_trusted_proxy() {
    let proxies = proxies(ForwardedBy::XForwardedFor);
    let (client, spoofed) = ("203.0.113.7", "198.51.100.1");
    let of = |peer, fields: &[&str]| proxies.client(ip(peer), &headers("x-forwarded-for", fields));
    // A client that writes the header itself.
    assert_eq!(of(client, &[spoofed]), ip(client));
    // The same, through a proxy, which adds where it came from; through two; and in two fields.
    let chain = format!("{spoofed}, {client}");
    assert_eq!(of("10.0.0.1", &[&chain]), ip(client));
    assert_eq!(of("10.0.0.1", &[&format!("{chain}, 10.0.0.2")]), ip(client));
    assert_eq!(of("10.0.0.1", &[spoofed, client, "10.0.0.2"]), ip(client));
    assert_eq!(of("10.0.0.1", &[&format!("10.9.9.9, {chain}")]), ip(client), "the client may name trusted ones as well");
    // What cannot be read ends the list, and nothing left of it counts.
    for junk in ["unknown", "", "203.0.113.7.evil", "[::1", "10.0.0.300"] {
        assert_eq!(of("10.0.0.1", &[&format!("{spoofed}, {junk}, 10.0.0.2")]), ip("10.0.0.2"), "{junk:?}");
    }
    assert_eq!(of("10.0.0.1", &[]), ip("10.0.0.1"));
    assert_eq!(of("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), ip("10.0.0.3"), "a client inside");
    // With ports, and as IPv6.
    assert_eq!(of("fd00::1", &["[2001:db8::1]:443"]), ip("2001:db8::1"));
    assert_eq!(of("fd00::1", &["203.0.113.7:5555"]), ip(client));
    assert_eq!(of("fd00::1", &["::ffff:203.0.113.7"]), ip(client));
    // The other header is the client's own.
    let both = {
        let mut both = headers("x-forwarded-for", &[client]);
        both.insert("forwarded", format!("for={spoofed}").parse().unwrap());
        both
    };
    assert_eq!(proxies.client(ip("10.0.0.1"), &both), ip(client));

    // The control: the first of the list, as is often read, is whatever the client writes.
    let unsafely = chain.split(',').next().and_then(address);
    assert_eq!(unsafely, Some(ip(spoofed)));
    assert_eq!(TrustedProxies::default().client(ip("10.0.0.1"), &both), ip("10.0.0.1"), "nobody is trusted unless said");
}

/// What a million keys make of a table that gives each newcomer a fresh bucket, in the place of the one that came first: the control.
struct Forgetful {
    places: std::collections::VecDeque<(u64, u64)>,
    most: usize,
}

impl Forgetful {
    fn draw(&mut self, key: u64, rate: Rate, now: u64) -> Result<(), u64> {
        let at = self.places.iter().position(|(known, _)| *known == key);
        let full_at = at.map_or(0, |at| self.places[at].1);
        let then = rate.draw(full_at, now)?;
        match at {
            Some(at) => self.places[at].1 = then,
            None => self.places.push_back((key, then)),
        }
        if self.places.len() > self.most {
            self.places.pop_front();
        }
        Ok(())
    }
}

#[test]
fn case_55_a_million_keys_take_no_memory_and_win_nobody_a_fresh_bucket() {
    let rate = Rate::per_minute(100, 20);
    let (table, now) = (BucketTable::for_keys(4_096), SECOND);
    let drain = |key: &u64, now| (0..1_000).take_while(|_| table.draw(key, rate, now).is_ok()).count();
    let attacker = u64::MAX;
    assert_eq!(drain(&attacker, now), 20);
    let before = table.bytes();
    assert!(before < 100_000, "{before} bytes");
    // A million addresses, all at once: the attacker's own bucket stays drained, and those that pay for it are all of them.
    let mut served = 0_usize;
    for key in 0..1_000_000_u64 {
        served += usize::from(table.draw(&key, rate, now).is_ok());
    }
    assert_eq!(table.bytes(), before);
    assert!(served <= 4_096 * 20, "{served} calls were served: more than the places have");
    assert_eq!(drain(&attacker, now), 0, "the attacker's bucket was forgotten");
    // Once they are made good, others are served as ever.
    assert_eq!(drain(&2_000_000, now + 30 * SECOND), 20);

    let mut forgetful = Forgetful { places: [].into(), most: 256 };
    assert!((0..20).all(|_| forgetful.draw(attacker, rate, now).is_ok()) && forgetful.draw(attacker, rate, now).is_err());
    assert!((0..257).all(|key| forgetful.draw(key, rate, now).is_ok()));
    assert!(forgetful.draw(attacker, rate, now).is_ok(), "the control: 257 calls win 20");
}

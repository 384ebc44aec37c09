//! How clusters behave, on a virtual clock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use p2p_client::protocol::{NodeInfo, NodeStatus, Role};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Engine, Input, MemberEvent, MembershipConfig, Output, Setup,
    simulation::{Condition, HashAttestor, Sim, node_info},
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn failed(event: &MemberEvent) -> bool {
    matches!(event, MemberEvent::Failed(_))
}

#[test]
fn three_nodes_that_join_by_one_address_see_each_other_within_a_second() {
    for seed in 0..20 {
        let mut sim = Sim::new(seed);
        sim.add(&[]);
        sim.run_for(secs(3));
        let joined = sim.now;
        sim.add(&[0]);
        sim.add(&[0]);
        assert!(sim.run_while(secs(1), |sim| !sim.complete()), "seed {seed}");
        println!("complete after {:?}", sim.since(joined));
        sim.run_for(secs(20));
        assert_eq!(sim.count_events(joined, |event| !matches!(event, MemberEvent::Joined(_))), 0);
    }
}

#[test]
fn two_nodes_that_know_only_each_other_find_each_other_whoever_starts_first() {
    let mut sim = Sim::new(2);
    sim.add(&[1]);
    sim.run_for(secs(12));
    sim.add(&[0]);
    assert!(sim.run_while(secs(1), |sim| !sim.complete()));
    // Alone for long: the seeds are still tried.
    let mut sim = Sim::new(3);
    sim.add(&[1]);
    sim.run_for(secs(100));
    sim.add(&[]);
    assert!(sim.run_while(secs(7), |sim| !sim.complete()));
}

#[test]
fn a_hundred_nodes_that_join_within_a_second_are_complete_within_a_few() {
    let mut sim = Sim::new(4);
    let took = sim.cluster(100);
    let bytes: u64 = sim.nodes.iter().map(|node| node.engine.counters().bytes_sent).sum();
    println!("100 nodes complete after {took:?}, {} bytes a node", bytes / 100);
    assert!(took < secs(4), "{took:?}");
}

#[test]
fn killed_silent_and_cut_off_nodes_are_reported_failed_within_five_seconds() {
    for seed in 50..53 {
        let mut sim = Sim::new(seed);
        sim.cluster(100);
        sim.run_for(secs(5));
        let at = sim.now;
        sim.set_condition(17, Condition::Killed);
        sim.set_condition(42, Condition::Silent);
        sim.split(|index| u8::from(index == 77));
        let others = |sim: &Sim, of: usize| {
            sim.running().filter(|by| *by != of && *by != 77).all(|by| sim.status(by, of) == Some(NodeStatus::Dead))
        };
        assert!(sim.run_while(secs(5), |sim| ![17, 42, 77].iter().all(|of| others(sim, *of))));
        println!("all know after {:?}", sim.since(at));
    }
}

#[test]
fn three_nodes_report_the_death_of_one_within_five_seconds() {
    for (seed, condition) in [(6, Condition::Killed), (7, Condition::Silent)] {
        let mut sim = Sim::new(seed);
        sim.cluster(3);
        sim.run_for(secs(30));
        let at = sim.now;
        sim.set_condition(2, condition);
        assert!(sim.run_while(secs(5), |sim| !sim.all_see(2, NodeStatus::Dead)), "{condition:?}");
        println!("{condition:?}: known after {:?}", sim.since(at));
    }
}

#[test]
fn a_node_that_answers_again_recovers_and_keeps_its_own_view() {
    let mut sim = Sim::new(8);
    sim.cluster(10);
    sim.set_condition(3, Condition::Silent);
    assert!(sim.run_while(secs(6), |sim| !sim.all_see(3, NodeStatus::Dead)));
    sim.run_for(secs(20));
    let back = sim.now;
    sim.set_condition(3, Condition::Running);
    assert!(sim.run_while(secs(10), |sim| !sim.complete()));
    println!("recovered after {:?}", sim.since(back));
    sim.run_for(secs(10));
    assert!(sim.complete());
    assert_eq!(sim.count_events(back, failed), 0, "nobody was blamed for the time that the stopped node missed");
}

#[test]
fn a_node_that_leaves_is_left_everywhere_and_failed_nowhere() {
    let mut sim = Sim::new(9);
    sim.cluster(30);
    sim.run_for(secs(5));
    let at = sim.now;
    sim.act(7, |engine, now, out| engine.leave(now, out).unwrap());
    assert!(sim.run_while(secs(2), |sim| !sim.nodes[7].left));
    assert!(sim.run_while(secs(2), |sim| !sim.all_see(7, NodeStatus::Left)));
    println!("left everywhere after {:?}", sim.since(at));
    sim.run_for(secs(20));
    assert!(sim.all_see(7, NodeStatus::Left));
    assert_eq!(sim.count_events(at, |event| !matches!(event, MemberEvent::Left(_))), 0);
    assert_eq!(sim.count_events(at, |event| matches!(event, MemberEvent::Left(_))), 29);
}

#[test]
fn a_node_that_left_can_join_again_in_a_later_life() {
    let mut sim = Sim::new(10);
    sim.cluster(5);
    sim.act(4, |engine, now, out| engine.leave(now, out).unwrap());
    assert!(sim.run_while(secs(2), |sim| !sim.all_see(4, NodeStatus::Left)));
    sim.run_for(secs(1));
    let at = sim.now;
    sim.restart(4, &[0], None);
    assert!(sim.run_while(secs(1), |sim| !sim.complete()));
    assert_eq!(sim.count_events(at, |event| matches!(event, MemberEvent::Joined(_))), 8);
}

#[test]
fn the_halves_of_a_split_cluster_come_together_without_blaming_their_own() {
    let mut sim = Sim::new(11);
    sim.cluster(50);
    sim.run_for(secs(5));
    sim.split(|index| u8::from(index >= 25));
    sim.run_for(secs(60));
    for by in sim.running() {
        for of in sim.running().filter(|of| *of != by) {
            let wanted = if (by < 25) == (of < 25) { NodeStatus::Alive } else { NodeStatus::Dead };
            assert_eq!(sim.status(by, of), Some(wanted), "{of} by {by}");
        }
    }
    let at = sim.now;
    sim.split(|_| 0);
    assert!(sim.run_while(secs(10), |sim| !sim.complete()));
    println!("healed after {:?}", sim.since(at));
    sim.run_for(secs(10));
    assert!(sim.complete());
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn lost_frames_are_no_deaths() {
    let mut sim = Sim::new(12);
    sim.cluster(50);
    sim.loss = 0.05;
    let at = sim.now;
    sim.run_for(secs(120));
    let suspicions = sim.count_events(at, |event| matches!(event, MemberEvent::Suspected(_)));
    println!("{suspicions} suspicions at 50 nodes in 120 s with 5 % loss");
    let rejoins: u64 = sim.nodes.iter().map(|node| node.engine.counters().rejoins).sum();
    assert_eq!(rejoins, 0, "nobody who refuted in time was told that it is dead");
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn joining_succeeds_although_frames_are_lost() {
    for seed in 100..110 {
        let mut sim = Sim::new(seed);
        sim.loss = 0.2;
        sim.add(&[]);
        sim.add(&[0]);
        sim.add(&[0]);
        assert!(sim.run_while(secs(10), |sim| !sim.complete()));
    }
}

#[test]
fn a_node_that_restarts_is_back_at_once_and_needs_no_seeds_if_it_saved_its_peers() {
    let mut sim = Sim::new(13);
    sim.cluster(10);
    sim.run_for(secs(5));
    let saved = sim.nodes[6].engine.save();
    let text = serde_json::to_string(&saved).unwrap();
    let at = sim.now;
    sim.set_condition(6, Condition::Killed);
    sim.run_for(millis(200));
    sim.restart(6, &[], Some(serde_json::from_str(&text).unwrap()));
    assert!(sim.run_while(secs(1), |sim| sim.nodes[6].view.len() < 9 || !sim.complete()));
    sim.run_for(secs(5));
    assert!(sim.complete());
    assert_eq!(sim.count_events(at, failed), 0, "it came back before it was missed");
}

#[test]
fn a_dead_node_that_restarts_recovers_with_what_it_says_in_its_new_life() {
    let mut sim = Sim::new(14);
    sim.cluster(5);
    sim.set_condition(4, Condition::Killed);
    assert!(sim.run_while(secs(6), |sim| !sim.all_see(4, NodeStatus::Dead)));
    let at = sim.now;
    sim.restart(4, &[0], None);
    assert!(sim.run_while(secs(1), |sim| !sim.complete()));
    assert_eq!(sim.count_events(at, |event| matches!(event, MemberEvent::Recovered(_))), 4);
}

#[test]
fn what_a_node_says_anew_is_known_everywhere_soon() {
    let mut sim = Sim::new(15);
    sim.cluster(50);
    sim.run_for(secs(10));
    let at = sim.now;
    sim.act(9, |engine, now, out| {
        let mut info = node_info(9);
        info.metadata.insert("zone".into(), "b".into());
        engine.update(info, now, out).unwrap();
    });
    let updated = |sim: &Sim| {
        sim.count_events(
            at,
            |event| matches!(event, MemberEvent::Updated(info) if info.metadata.get("zone").is_some_and(|zone| zone == "b")),
        )
    };
    assert!(sim.run_while(secs(2), |sim| updated(sim) < 50));
    println!("known everywhere after {:?}", sim.since(at));
    sim.run_for(secs(3));
    assert_eq!(updated(&sim), 50, "once each, also by the node itself");
}

#[test]
fn a_worker_that_calls_itself_a_coordinator_is_not_believed() {
    let mut sim = Sim::new(31);
    sim.cluster(3);
    let at = sim.now;
    sim.act(2, |engine, now, out| {
        let mut info = node_info(2);
        info.role = Role::Coordinator;
        engine.update(info, now, out).unwrap();
    });
    sim.run_for(secs(5));
    assert_eq!(
        sim.count_events(at, |event| event.node_id() == &node_info(2).node_id && event.info().role == Role::Coordinator),
        1,
        "it alone believes so"
    );
}

#[test]
fn a_node_can_move_to_another_address() {
    let mut sim = Sim::new(16);
    sim.cluster(5);
    let at = sim.now;
    sim.act(2, |engine, now, out| {
        let mut info = node_info(2);
        info.metadata.insert("moved".into(), "yes".into());
        info.address = "10.9.9.9".into();
        engine.update(info, now, out).unwrap();
    });
    sim.place("10.9.9.9:8002", 2);
    sim.run_for(secs(10));
    assert!(sim.complete());
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn an_idle_cluster_is_quiet() {
    let mut sim = Sim::new(17);
    sim.cluster(20);
    sim.run_for(secs(60));
    let bytes = |sim: &Sim| sim.nodes.iter().map(|node| node.engine.counters().bytes_sent).sum::<u64>();
    let before = bytes(&sim);
    sim.run_for(secs(60));
    let rate = (bytes(&sim) - before) / 60 / 20;
    println!("{rate} bytes a second and node");
    assert!(rate < 600, "{rate}");
}

#[test]
fn a_node_that_was_forgotten_does_not_come_back_from_another_and_can_join_anew() {
    let mut sim = Sim::new(18);
    sim.config.remove_down_after = secs(30);
    sim.cluster(6);
    sim.set_condition(5, Condition::Silent);
    sim.run_for(secs(20));
    assert!(sim.all_see(5, NodeStatus::Dead));
    sim.run_for(secs(60));
    assert!(sim.running().all(|by| sim.status(by, 5).is_none()));
    sim.restart(5, &[0], None);
    assert!(sim.run_while(secs(2), |sim| !sim.complete()));
}

fn lone(index: usize) -> Engine {
    let setup = Setup {
        config: MembershipConfig::default(),
        me: node_info(index),
        epoch: 1,
        attestor: Arc::new(HashAttestor(Sim::id(index))),
        seeds: vec![node_info(0).authority()],
        saved: None,
        randomness: 1,
    };
    Engine::new(setup, Duration::ZERO).unwrap()
}

/// Every frame that a cluster sends while it forms and one node says something new.
fn real_frames() -> Vec<(usize, usize, Bytes)> {
    let mut sim = Sim::new(19);
    sim.record();
    sim.cluster(6);
    sim.act(5, |engine, now, out| {
        let mut info = node_info(5);
        info.metadata.insert("text".into(), "text ".repeat(500));
        engine.update(info, now, out).unwrap();
    });
    sim.run_for(secs(3));
    sim.recorded()
}

#[test]
fn a_message_in_another_nodes_name_is_dropped_and_counted() {
    let mut sim = Sim::new(20);
    sim.cluster(3);
    let messages: Vec<_> = real_frames().into_iter().filter(|(_, to, frame)| *to == 0 && matches!(frame[1], 0 | 0x80)).collect();
    assert!(!messages.is_empty());
    for (from, _, frame) in &messages {
        let liar = if *from == 1 { 2 } else { 1 };
        sim.input(0, Input::Frame { from: Sim::id(liar), frame: frame.clone() });
    }
    assert_eq!(sim.nodes[0].engine.counters().forged, messages.len() as u64);
    sim.run_for(secs(5));
    assert!(sim.complete());
}

#[test]
fn an_old_statement_of_a_node_is_ignored_and_a_forged_one_refused() {
    let mut sim = Sim::new(21);
    sim.record();
    sim.cluster(3);
    let mut info = node_info(1);
    info.metadata.insert("say".into(), "new".into());
    sim.act(1, |engine, now, out| engine.update(info, now, out).unwrap());
    sim.run_for(secs(2));
    let bodies: Vec<Bytes> =
        sim.recorded().into_iter().filter(|(.., frame)| matches!(frame[1], 5 | 0x85)).map(|(.., frame)| frame).collect();
    let at = sim.now;
    for frame in &bodies {
        // Replayed, and with one byte of the signed text changed.
        sim.input(2, Input::Frame { from: Sim::id(0), frame: frame.clone() });
        let at = frame.len() - 40;
        let mut forged = frame.to_vec();
        forged[at] ^= 1;
        sim.input(2, Input::Frame { from: Sim::id(0), frame: forged.into() });
    }
    assert!(sim.nodes[2].engine.counters().stale > 0);
    assert_eq!(sim.count_events(at, |_| true), 0);
}

#[test]
fn a_member_says_that_it_starts_or_what_it_hosts_and_all_know_what_it_hosts_soon_after_it_has_said_it() {
    let (mut sim, new) = (Sim::new(29), 30);
    sim.cluster(new);
    sim.run_for(secs(5));
    let at = sim.now;
    let hosting = node_info(new);
    let mut starting = NodeInfo { services: BTreeMap::new(), ..hosting.clone() };
    starting.metadata.insert(NodeInfo::STARTING.to_owned(), "true".to_owned());
    let setup = Setup {
        config: MembershipConfig::default(),
        me: starting,
        epoch: 1,
        attestor: Arc::new(HashAttestor(Sim::id(new))),
        seeds: vec![node_info(0).authority()],
        saved: None,
        randomness: 1,
    };
    sim.add_engine(Engine::new(setup, at).unwrap());
    assert!(sim.run_while(secs(2), |sim| !sim.complete()));
    let told = sim.now;
    sim.act(new, |engine, now, out| engine.update(hosting, now, out).unwrap());
    let of_it = |(_, event): &&(Duration, MemberEvent)| *event.node_id() == Sim::id(new);
    let knows = |sim: &Sim, by: usize| {
        let last = sim.nodes[by].events.iter().rfind(of_it);
        last.is_some_and(|(_, event)| !event.info().is_starting() && !event.info().services.is_empty())
    };
    assert!(sim.run_while(secs(1), |sim| !(0..new).all(|by| knows(sim, by))), "after a second not all know what it hosts");
    println!("all know what it hosts {:?} after it said so", sim.since(told));
    for (_, event) in sim.nodes.iter().flat_map(|node| node.events.iter().filter(of_it)) {
        assert_eq!(event.info().is_starting(), event.info().services.is_empty(), "{event:?}");
    }
}

#[test]
fn a_statement_that_its_node_did_not_sign_makes_no_member() {
    let mut sim = Sim::new(22);
    sim.add(&[]);
    // Signs with node 2's key what it says of node 1.
    let setup = Setup {
        config: MembershipConfig::default(),
        me: node_info(1),
        epoch: 1,
        attestor: Arc::new(HashAttestor(Sim::id(2))),
        seeds: vec![node_info(0).authority()],
        saved: None,
        randomness: 1,
    };
    sim.add_engine(Engine::new(setup, Duration::ZERO).unwrap());
    sim.run_for(secs(5));
    assert_eq!(sim.status(0, 1), None);
    assert!(sim.nodes[0].engine.counters().refused > 0);
}

#[test]
fn hostile_frames_never_panic_and_do_not_disturb_the_cluster() {
    let seed = 23;
    let frames = real_frames();
    let mut sim = Sim::new(seed);
    sim.cluster(6);
    let mut rng = StdRng::seed_from_u64(seed);
    for (from, to, frame) in frames.iter().filter(|(from, to, _)| from != to) {
        for _ in 0..4 {
            let mut bytes = frame.to_vec();
            match rng.random_range(0..3) {
                0 => bytes.truncate(rng.random_range(0..bytes.len())),
                1 => {
                    let position = rng.random_range(0..bytes.len());
                    bytes[position] = rng.random();
                }
                _ => bytes.extend((0..rng.random_range(1..50)).map(|_| rng.random::<u8>())),
            }
            sim.input(*to, Input::Frame { from: Sim::id(*from), frame: bytes.into() });
        }
    }
    println!("{} frames", frames.len() * 4);
    sim.run_for(secs(30));
    assert!(sim.complete());
}

#[test]
fn a_node_that_lost_its_counter_goes_on_from_what_the_others_know() {
    let mut sim = Sim::new(24);
    sim.cluster(4);
    for _ in 0..3 {
        sim.restart(3, &[0], None);
        assert!(sim.run_while(secs(2), |sim| !sim.complete()));
    }
    // A restored backup: the epoch is the first again, and what it says now is new.
    sim.rewind_epoch(3);
    sim.restart(3, &[0], None);
    assert!(sim.run_while(secs(5), |sim| sim.nodes[3].view.len() < 3 || !sim.complete()));
    sim.run_for(secs(10));
    assert!(sim.complete());
}

#[test]
fn a_node_that_lies_about_anothers_death_or_life_is_contradicted() {
    use super::{
        frame::{Entry, Frame, Message},
        peer::Peer,
    };
    let mut sim = Sim::new(25);
    sim.cluster(10);
    let at = sim.now;
    let peer =
        |index: usize, epoch| Peer { node_id: Sim::id(index), authority: node_info(index).authority().into(), epoch, bump: 0 };
    let lie = |about: Peer, state| {
        let entries = vec![Entry { peer: about, incarnation: 0, state, body: None }];
        let message = Message::Entries { ask: false, buckets: super::digest::BucketSet::ALL, entries };
        Frame::Own { sender: peer(1, 1), message }.encode(1024)
    };
    for (about, state) in [
        (peer(4, 1), foca::State::Down),
        (peer(5, 50), foca::State::Down),
        (peer(6, 9), foca::State::Alive),
        (peer(7, u64::MAX), foca::State::Alive),
    ] {
        for to in [2, 3] {
            sim.input(to, Input::Frame { from: Sim::id(1), frame: lie(about.clone(), state) });
        }
    }
    assert_eq!(sim.nodes[2].engine.counters().forged, 1, "an epoch out of reach is no epoch");
    sim.run_for(secs(20));
    assert!(sim.complete());
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn a_node_whose_frames_go_one_way_only_is_noticed_by_both_sides() {
    for seed in 200..220 {
        let mut sim = Sim::new(seed);
        sim.cluster(2);
        sim.run_for(secs(5));
        sim.mute(0, 1);
        assert!(sim.run_while(secs(6), |sim| sim.status(0, 1) != Some(NodeStatus::Dead)));
        sim.unmute();
        assert!(sim.run_while(secs(6), |sim| !sim.complete()));
    }
}

#[test]
fn a_refused_connection_is_an_early_suspicion_that_a_living_node_refutes_at_once() {
    let mut sim = Sim::new(28);
    sim.cluster(5);
    sim.run_for(secs(5));
    sim.input(0, Input::Unreachable { node_id: Sim::id(3), refused: false });
    assert_eq!(sim.status(0, 3), Some(NodeStatus::Alive), "a time-out is left to the probes");
    let at = sim.now;
    sim.input(0, Input::Unreachable { node_id: Sim::id(3), refused: true });
    assert_eq!(sim.status(0, 3), Some(NodeStatus::Suspected));
    assert!(sim.run_while(millis(50), |sim| sim.status(0, 3) != Some(NodeStatus::Alive)));
    sim.run_for(secs(10));
    assert!(sim.complete());
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn a_slow_process_blames_nobody() {
    // Every node in turn stands still for most of a second, again and again, as on a starved machine.
    let mut sim = Sim::new(26);
    sim.cluster(8);
    let at = sim.now;
    for round in 0..40 {
        let index = round % 8;
        sim.set_condition(index, Condition::Silent);
        sim.run_for(millis(900));
        sim.set_condition(index, Condition::Running);
        sim.run_for(millis(300));
    }
    assert_eq!(sim.count_events(at, failed), 0);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_the_reason() {
    for (config, why) in [
        (MembershipConfig { probe_rtt: secs(1), ..Default::default() }, "probe_rtt"),
        (MembershipConfig { indirect_probes: 0, ..Default::default() }, "indirect_probes"),
        (MembershipConfig { sync_min: secs(60), ..Default::default() }, "sync_min"),
        (MembershipConfig { gossip_period: secs(0), ..Default::default() }, "gossip_period"),
    ] {
        let setup = Setup {
            config,
            me: node_info(1),
            epoch: 1,
            attestor: Arc::new(HashAttestor(Sim::id(1))),
            seeds: Vec::new(),
            saved: None,
            randomness: 1,
        };
        let said = Engine::new(setup, Duration::ZERO).err().unwrap().to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_node_cannot_change_its_id_nor_say_too_much_nor_anything_after_it_left() {
    let mut engine = lone(1);
    let mut out: Vec<Output> = Vec::new();
    let said = engine.update(node_info(2), Duration::ZERO, &mut out).unwrap_err().to_string();
    assert!(said.contains("cannot change its id"), "{said}");
    let mut info = node_info(1);
    info.metadata.insert("novel".into(), "x".repeat(70_000));
    let said = engine.update(info, Duration::ZERO, &mut out).unwrap_err().to_string();
    assert!(said.contains("65536") && said.contains("shorten"), "{said}");
    let mut info = node_info(1);
    info.address = "x".repeat(300);
    let said = engine.update(info, Duration::ZERO, &mut out).unwrap_err().to_string();
    assert!(said.contains("255 bytes"), "{said}");
    engine.leave(Duration::ZERO, &mut out).unwrap();
    assert!(matches!(out.last(), Some(Output::LeaveSpread)));
    let said = engine.update(node_info(1), Duration::ZERO, &mut out).unwrap_err().to_string();
    assert!(said.contains("leaving"), "{said}");
}

use super::*;

const OLD: &str = "listen: 0.0.0.0:8001\nport_is_fixed: true\nadvertise: 10.0.0.5\ncapabilities: [gpu]\nseeds:\n- 10.0.0.1:8001\n\
                   http_access:\n  services: public\n  cluster_nodes: !scope read\n  documents: anonymous\n";
const BASE: &str = "listen: 0.0.0.0:8001\nadvertise: 10.0.0.5\n";

fn parsed(more: &str) -> ConfigDocument {
    ConfigDocument::parse(&format!("{BASE}{more}")).unwrap_or_else(|error| panic!("{error}"))
}

/// What is said of this.
fn refused(more: &str) -> String {
    ConfigDocument::parse(&format!("{BASE}{more}")).expect_err(more).to_string()
}

#[test]
fn a_configuration_in_the_form_of_earlier_nodes_still_reads() {
    let old = OLD.replace("!scope read", "{scope: read}");
    let document = ConfigDocument::parse(&old).unwrap();
    let config = document.config();
    assert_eq!((config.listen.to_string().as_str(), config.port_is_fixed), ("0.0.0.0:8001", true));
    assert_eq!((config.capabilities[0].as_str(), config.seeds[0].as_str()), ("gpu", "10.0.0.1:8001"));
    let access = &config.http_access;
    assert_eq!((access.cluster_nodes.to_string(), access.documents.to_string()), (read_scope().to_string(), "anyone".to_owned()));
    assert_eq!(config.rate_limit, super::super::RateLimitConfig::default());
}

fn read_scope() -> p2p_client::protocol::Access {
    p2p_client::protocol::Access::Scope("read".into())
}

#[test]
fn what_is_set_survives_its_yaml_and_what_is_not_stays_unset() {
    let document = parsed(
        "capabilities: ['007', gpu]\nrate_limit: {rpc_requests: 50}\nconnections:\n  max_body: 1 MiB\n  body_timeout: 90s\n\
         http_access.documents: scope=read\nproxies: {trusted: [10.0.0.0/8, '::1']}\nredis: {url: 'redis://:x@h:1'}",
    );
    let yaml = document.to_yaml();
    assert_eq!(ConfigDocument::parse(&yaml).unwrap(), document, "{yaml}");
    assert!(yaml.contains("rate_limit:\n  rpc_requests: 50\n") && yaml.contains("  max_body: 1 MiB\n"), "{yaml}");
    assert!(!yaml.contains("rpc_burst"), "{yaml}");
    let text = document.to_edit();
    assert_eq!(ConfigDocument::parse(&text).unwrap(), document, "{text}");
    assert!(text.contains("\n# rate_limit.rpc_burst: 20\n") && text.contains("\nrate_limit.rpc_requests: 50\n"), "{text}");
    assert_eq!(document.unread(), ["redis.url"]);
}

#[test]
fn further_addresses_follow_the_first_and_are_no_more_than_a_certificate_holds() {
    let document = parsed("advertise_also: ['2001:db8::5', 10.0.0.5, node.example]\n");
    let all: Vec<_> = document.config().addresses().iter().map(ToString::to_string).collect();
    assert_eq!(all, ["10.0.0.5", "2001:db8::5", "node.example"]);
    assert_eq!(ConfigDocument::parse(&document.to_yaml()).unwrap(), document);
    assert!(refused("advertise_also: [10.0.0.5:8001]").contains("a list of IP addresses and host names"));
    let many = (1..=16).map(|number| format!("10.0.1.{number}")).collect::<Vec<_>>().join(", ");
    assert!(refused(&format!("advertise_also: [{many}]")).contains("at most 16 addresses"));
}

#[test]
fn every_setting_can_be_taken_from_its_comment_as_it_stands() {
    let text = parsed("").to_edit();
    for setting in Settings::all().iter() {
        let (comment, line) = (format!("\n# {}: ", setting.key), format!("\n{}: ", setting.key));
        let set = text.replacen(&comment, &line, 1);
        let document = ConfigDocument::parse(&set).unwrap_or_else(|error| panic!("{error}"));
        assert!(document.is_set(setting.key), "{}", setting.key);
        assert_eq!(document.config(), parsed("").config());
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (more, key, nearest) in [
        ("rate_limit: {rpc_request: 1}", "rate_limit.rpc_request", "; is rate_limit.rpc_requests meant?"),
        ("gossip.intervall_min: 5s", "gossip.intervall_min", "; is gossip.interval_min meant?"),
        ("capabilites: [gpu]", "capabilites", "; is capabilities meant?"),
        ("rate_limit_rpc_request: 1", "rate_limit_rpc_request", "; is rate_limit.rpc_requests meant?"),
        ("zzz: 1", "zzz", "; `p2p config default` lists all"),
    ] {
        let said = refused(more);
        assert!(said.contains(&format!("there is no setting {key}{nearest}")), "{said}");
        assert!(said.ends_with("`p2p config edit` opens it"), "{said}");
    }
}

#[test]
fn a_wrong_value_is_refused_with_the_key_what_was_given_and_what_is_allowed() {
    for (more, said) in [
        ("rate_limit: {rpc_requests: 0}", "rate_limit.rpc_requests is \"0\"; it takes a whole number, from 1 to 1000000000"),
        ("rate_limit: {rpc_requests: many}", "rate_limit.rpc_requests is \"many\"; it takes a whole number"),
        ("rate_limit: {enabled: maybe}", "rate_limit.enabled is \"maybe\"; it takes true or false"),
        (
            "gossip: {interval_min: 5}",
            "gossip.interval_min is \"5\"; it takes a duration such as 500ms, 5s, 15m, 24h or 7d, from 100ms to 1h",
        ),
        (
            "connections: {max_body: 2 TiB}",
            "connections.max_body is \"2 TiB\"; it takes a size such as 512 B, 64 KiB or 4 MiB, from 1 KiB to 1 GiB",
        ),
        (
            "http_access: {services: all}",
            "http_access.services is \"all\"; it takes nodes, public, anonymous, role=worker, role=coordinator or scope=NAME",
        ),
        ("proxies: {trusted: [proxy]}", "proxies.trusted is \"[proxy]\"; it takes a list of addresses and networks"),
        ("log_level: loud", "log_level is \"loud\"; it takes error, warn, info, debug or trace"),
        ("seeds: [10.0.0.5]", "seeds is \"[10.0.0.5]\"; it takes a list of addresses with ports"),
        ("gossip: {interval_min: 40s}", "gossip.interval_max is \"30s\"; it takes at least gossip.interval_min, which is 40s"),
        ("gossip: {probe_timeout: 1s}", "gossip.probe_timeout is \"1s\"; it takes less than gossip.probe_period, which is 500ms"),
        ("rate_limit: {rpc_requests: 1}\nrate_limit_rpc_requests: 2", "rate_limit.rpc_requests is set twice; keep one of them"),
        ("rate_limit: 5", "there is no setting rate_limit"),
        ("- a", "it is no YAML with keys and values"),
    ] {
        let got = refused(more);
        assert!(got.contains(said), "{got}\n{said}");
    }
    let missing = ConfigDocument::parse("").unwrap_err().to_string();
    assert!(
        missing.contains("listen is missing; it takes an address with a port") && missing.contains("advertise is missing"),
        "{missing}"
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let ConfigError::Mistakes(mistakes) =
        ConfigDocument::parse("rate_limit: {rpc_requests: 0, rpc_brust: 1}\nssl_verify: false").unwrap_err()
    else {
        panic!()
    };
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
}

#[test]
fn a_value_that_may_hold_a_password_is_not_repeated() {
    let said = refused("redis: {url: hunter2}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn the_originals_keys_are_read_with_its_units_or_refused_with_the_reason() {
    let document = parsed(
        "gossip_interval_min: 10\ngossip_interval_max: 60\ngossip_compression_enabled: true\ncompression_threshold: 2048\n\
         max_gossip_targets: 7\nrate_limit_enabled: true\nrate_limit_rpc_requests: 200\ncoordinator_addresses: ['127.0.0.1:8001']\n\
         redis_enabled: true\nhttps_enabled: true\nssl_verify: true\n",
    );
    let config = document.config();
    assert_eq!((config.gossip.interval_min.as_secs(), config.gossip.interval_max.as_secs()), (10, 60));
    assert_eq!((config.gossip.compression_threshold.get(), config.gossip.max_targets), (2_048, 7));
    assert_eq!((config.rate_limit.rpc_requests, config.seeds[0].as_str()), (200, "127.0.0.1:8001"));
    assert_eq!(document.unread(), ["redis.enabled"]);
    assert!(document.to_yaml().contains("gossip:\n  interval_min: 10s\n"), "{}", document.to_yaml());
    for (more, why) in [
        ("ssl_verify: false", "ssl_verify is refused: a certificate that is not verified proves nothing"),
        ("https_enabled: false", "https_enabled is refused: without TLS anyone on the way"),
        ("JWT_ALGORITHM: HS256", "JWT_ALGORITHM is refused: HS256 makes everyone who can check a token able to make one"),
        ("jwt_secret_key: change-this", "is refused: tokens are signed with a key that the cluster makes for itself"),
        ("ssl_key_file: certs/node_key.key", "are in the encrypted store, never in files"),
        ("node_id: worker-1", "it stands in the node's certificate"),
        ("port: 8001", "it is part of listen: `p2p config set listen 0.0.0.0:8001`"),
    ] {
        let said = refused(more);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_key_is_set_and_unset_by_either_name_and_others_stay() {
    let document = parsed("capabilities: [gpu]");
    let set = document.with("rate_limit_rpc_requests", "200").unwrap().with("log_level", "debug").unwrap();
    assert_eq!((set.config().rate_limit.rpc_requests, set.config().capabilities.len()), (200, 1));
    let again = set.with("rate_limit.rpc_requests", "300").unwrap();
    let changes = document.changes(&again);
    let said: Vec<_> =
        changes.iter().map(|change| (change.key, change.from.as_str(), change.to.as_str(), change.effect)).collect();
    assert_eq!(said, [("log_level", "info", "debug", Effect::Live), ("rate_limit.rpc_requests", "100", "300", Effect::Live)]);
    let unset = again.without("rate_limit.rpc_requests").unwrap().without("log_level").unwrap();
    assert_eq!(unset, document);
    assert_eq!(document.with("capabilities", "a,b").unwrap().config().capabilities.len(), 2);
    assert_eq!(document.with("proxies.trusted", "[10.0.0.0/8]").unwrap().config().proxies.trusted.len(), 1);
    assert_eq!(document.with("listen", "[::]:9001").unwrap().config().listen.port(), 9001);
    for (outcome, said) in [
        (document.with("rate_limit.rpc_requests", "-1"), "rate_limit.rpc_requests is \"-1\""),
        (document.with("rate_limit.rps", "1"), "there is no setting rate_limit.rps"),
        (document.without("rate_limit.rps"), "there is no setting rate_limit.rps"),
        (document.without("listen"), "listen is missing"),
        (document.with("ssl_verify", "false"), "ssl_verify is refused"),
    ] {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

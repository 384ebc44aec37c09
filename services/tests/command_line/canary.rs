//! Case 11, of a whole cluster: what is secret stands in no log line, no error, and no file but the stores.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use base64::Engine as _;

use crate::harness::{Ended, Folders, PATIENCE, Running, run, run_with_input};

const STORE_PASSWORD: &str = "canary one: the password of the store";
const NEW_PASSWORD: &str = "canary two: another password";
const WRONG_PASSWORD: &str = "canary three: a password that does not open it";
const VALUE: &[u8] = b"canary four: what a service keeps";
const PARAM: &str = "password=canary six: a parameter of a call that fails";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Each byte as a character: texts are searched much faster than bytes.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A secret, in the forms in which it could stand somewhere.
struct Canary {
    name: &'static str,
    forms: Vec<String>,
}

impl Canary {
    fn of(name: &'static str, secret: &[u8]) -> Self {
        assert!(secret.len() >= 16, "{name} is too short to be found by");
        let hex = hex(secret);
        let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        // Base64 of the middle, for each way in which it can fall on the groups of three bytes.
        for skip in 0..3 {
            let middle = &secret[skip..];
            let middle = &middle[..middle.len() / 3 * 3];
            for alphabet in [&base64::engine::general_purpose::STANDARD_NO_PAD, &base64::engine::general_purpose::URL_SAFE_NO_PAD]
            {
                forms.push(alphabet.encode(middle).into_bytes());
            }
        }
        // And as serde writes bytes.
        let numbers: Vec<_> = secret.iter().map(u8::to_string).collect();
        forms.push(numbers.join(",").into_bytes());
        forms.push(numbers.join(", ").into_bytes());
        Self { name, forms: forms.iter().map(|form| characters(form)).collect() }
    }

    /// A private key in PKCS #8: its own number stands in the middle.
    fn of_key(name: &'static str, key: &[u8]) -> Self {
        Self::of(name, &key[36..68])
    }

    /// A join token: all of it, and the last 16 of its bytes, which are the secret.
    fn of_token(token: &str) -> [Self; 2] {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        [Self::of("a join token", token.as_bytes()), Self::of("a join token's seed", &bytes[40..])]
    }

    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form))
    }
}

/// Places in which nothing secret may be, by their names.
#[derive(Default)]
struct Places(Vec<(String, String)>);

impl Places {
    fn add(&mut self, name: impl Into<String>, content: impl AsRef<[u8]>) {
        self.0.push((name.into(), characters(content.as_ref())));
    }

    /// All that a command said. Where it prints the secret that was asked for, only what it said beside that.
    fn add_command(&mut self, name: &str, ended: &Ended, prints_a_secret: bool) {
        self.add(format!("what {name} says of itself"), &ended.stderr);
        if !prints_a_secret {
            self.add(format!("what {name} prints"), &ended.stdout);
        }
    }

    fn add_files(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                self.add_files(&path);
            } else if kind.is_file() {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    fn with(&self, canary: &Canary) -> Vec<&str> {
        self.0.iter().filter(|(_, content)| canary.is_in(content)).map(|(name, _)| name.as_str()).collect()
    }

    /// Waits until a node has stopped, and adds all that it has logged, printed and written.
    fn add_stopped(&mut self, folders: &Folders, name: &str, node: Running) {
        let (status, log, events) = node.ended_with_events();
        assert!(status.success(), "{log}");
        // (One that is alone has nothing to say at TRACE.)
        assert!(log.contains("DEBUG"), "{name} logs everything: {log}");
        assert!(events.contains("\"ready\""), "{name} prints events: {events}");
        self.add(format!("the log of {name}"), log);
        self.add(format!("the events of {name}"), events);
        self.add_files(&folders.of(name));
    }

    #[track_caller]
    fn assert_without(&self, canaries: &[Canary]) {
        for canary in canaries {
            assert_eq!(self.with(canary), Vec::<&str>::new(), "{} stands there", canary.name);
        }
    }
}

/// Everything is logged that there is.
fn start(folders: &Folders, name: &str) -> Running {
    let mut command = folders.command(name, &["start", "--output", "json"]);
    command.env("RUST_LOG", "trace").env("P2P_STORE_PASSWORD", STORE_PASSWORD);
    let mut node = Running::spawn(command);
    node.wait_for("ready");
    node
}

fn ask(folders: &Folders, node: &str, words: &[&str], password: &str, input: &[u8]) -> Ended {
    let mut command = folders.command(node, words);
    command.env("RUST_LOG", "trace").env("P2P_STORE_PASSWORD", password);
    run_with_input(command, input)
}

/// Sends a request to a node's own socket, with these headers more, and gives its answer.
fn post(folders: &Folders, node: &str, path: &str, headers: &str, body: &str) -> serde_json::Value {
    let mut stream = UnixStream::connect(folders.of(node).join("p2p.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn case_11_the_secrets_of_a_cluster_stand_in_no_log_no_error_and_no_file_but_its_stores() {
    let folders = Folders::new();
    let mut places = Places::default();
    let here = ["--advertise", "127.0.0.1", "--listen", "127.0.0.1:0", "--output", "json"];
    let made = ask(&folders, "head", &[&["init", "--node-id", "head"][..], &here].concat(), STORE_PASSWORD, b"");
    places.add_command("init", &made, true);
    let recovery_key = made.json()["recovery_key"].as_str().unwrap().to_owned();
    let head = start(&folders, "head");

    let created = ask(&folders, "head", &["token", "create", "--uses", "2", "--quiet"], STORE_PASSWORD, b"");
    places.add_command("token create", &created, true);
    let token = created.ok().trim().to_owned();
    let mut join = folders.command("worker", &[&["join", &head.authority(), "--node-id", "worker"][..], &here].concat());
    join.env("P2P_JOIN_TOKEN", &token).env("RUST_LOG", "trace").env("P2P_STORE_PASSWORD", STORE_PASSWORD);
    let mut worker = Running::spawn(join);
    worker.wait_for("ready");
    let created =
        ask(&folders, "head", &["client", "create", "ci-bot", "--scope", "orders:read", "--quiet"], STORE_PASSWORD, b"");
    places.add_command("client create", &created, true);
    let credential = created.ok().trim().to_owned();

    // A token for calls, which is used, passed on to the other node, spoiled and taken back.
    let secret = credential.as_str();
    let form = format!("{{\"client_id\":\"ci-bot@head\",\"client_secret\":\"{secret}\"}}");
    let access = post(&folders, "head", "/auth/token", "", &form)["access_token"].as_str().unwrap().to_owned();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"system/get_system_info","params":{}}"#;
    for (path, token) in [("/rpc", access.clone()), ("/rpc?on=worker", access.clone()), ("/rpc", format!("{access}x"))] {
        let answer = post(&folders, "head", path, &format!("authorization: Bearer {token}\r\n"), call);
        places.add(format!("what {path} answers to a token"), answer.to_string());
        assert!(answer.is_object(), "{answer}");
    }
    let revoked = post(&folders, "head", "/auth/revoke", "", &format!("{{\"token\":\"{access}\"}}"));
    assert_eq!(revoked["revoked"], true, "{revoked}");

    // What can be asked, and what goes wrong.
    for node in ["head", "worker"] {
        for (words, password, input, status) in [
            (&["store", "put", "services/mailer/smtp"][..], STORE_PASSWORD, VALUE, 0),
            (&["store", "ls"], WRONG_PASSWORD, b"", 1),
            (&["store", "ls"], STORE_PASSWORD, b"", 0),
            (&["store", "put", "../up"], STORE_PASSWORD, VALUE, 1),
            (&["config", "set", "log_level", "trace"], STORE_PASSWORD, b"", 0),
            (&["config", "set", "log_level", "loud"], WRONG_PASSWORD, b"", 1),
            (&["call", "system/get_system_info", "--on", "head"], STORE_PASSWORD, b"", 0),
            (&["call", "system/no_such_method", PARAM], STORE_PASSWORD, b"", 1),
            (&["call", "mailer/send", PARAM], STORE_PASSWORD, b"", 1),
            (&["call", "system/get_system_info", PARAM, "--on", "nobody"], STORE_PASSWORD, b"", 1),
            (&["nodes"], STORE_PASSWORD, b"", 0),
            (&["cert", "show"], STORE_PASSWORD, b"", 0),
            (&["cert", "renew"], STORE_PASSWORD, b"", 0),
        ] {
            let ended = ask(&folders, node, words, password, input);
            assert_eq!(ended.status.code(), Some(status), "{words:?}: {ended:?}");
            places.add_command(&words.join(" "), &ended, false);
        }
    }
    let broken = format!("{}x", &token[..token.len() - 1]);
    for (name, token) in [("stray", token.as_str()), ("broken", &broken)] {
        // The first is refused by its folder, the other by the token's own checksum.
        let mut join = folders.join_command(name, &head.authority(), token);
        join.env("RUST_LOG", "trace").env("P2P_STORE_PASSWORD", "").env_remove("P2P_STORE_PASSWORD");
        let ended = run(join);
        ended.error(1);
        places.add_command("join", &ended, false);
    }
    let keys = ["identity/node.key", "ca/root.key", "ca/issuing.key"].map(|path| value(&folders, "head", path));
    let changed = folders.file("new-password", NEW_PASSWORD);
    let ended =
        ask(&folders, "head", &["store", "passwd", "--new-password-file", changed.to_str().unwrap()], STORE_PASSWORD, b"");
    places.add_command("store passwd", &ended, false);
    assert!(ended.status.success(), "{ended:?}");
    fs::remove_file(changed).unwrap();
    folders.wait_for_status("worker", "head", "alive", PATIENCE);

    for (name, node) in [("head", head), ("worker", worker)] {
        node.signal("TERM");
        places.add_stopped(&folders, name, node);
    }
    let mut canaries = vec![
        Canary::of("the store's password", STORE_PASSWORD.as_bytes()),
        Canary::of("its new password", NEW_PASSWORD.as_bytes()),
        Canary::of("a wrong password", WRONG_PASSWORD.as_bytes()),
        Canary::of("the recovery key", recovery_key.as_bytes()),
        Canary::of("a value of a service", VALUE),
        Canary::of("a parameter of a call that fails", PARAM.as_bytes().split_at("password=".len()).1),
        Canary::of("a client's credential", credential.as_bytes()),
        Canary::of("a client's token", access.as_bytes()),
        Canary::of("the signature of a client's token", access.rsplit('.').next().unwrap().as_bytes()),
    ];
    canaries.extend(Canary::of_token(&token));
    canaries.extend(keys.iter().map(|key| Canary::of_key("a private key", key)));
    places.assert_without(&canaries);
}

/// What an entry of a node's store holds.
fn value(folders: &Folders, node: &str, path: &str) -> Vec<u8> {
    let found = ask(folders, node, &["store", "cat", path, "--output", "json"], STORE_PASSWORD, b"").json();
    let value = found["base64"].as_str().unwrap_or_else(|| panic!("{found}"));
    base64::engine::general_purpose::STANDARD.decode(value).unwrap()
}

/// The seeds of the keys with which a coordinator signs clients' tokens.
fn signing_seeds(folders: &Folders, node: &str) -> Vec<Canary> {
    let stored: serde_json::Value = serde_json::from_slice(&value(folders, node, "clients/signing_keys.json")).unwrap();
    let seed = |key: &serde_json::Value| base64::engine::general_purpose::STANDARD.decode(key["seed"].as_str().unwrap()).unwrap();
    let seeds: Vec<_> = stored["keys"].as_array().unwrap().iter().map(seed).collect();
    assert!(!seeds.is_empty() && seeds.iter().all(|seed| seed.len() == 32), "{} seeds", seeds.len());
    seeds.iter().map(|seed| Canary::of("the seed of a key that signs tokens", seed)).collect()
}

/// A cluster whose operators are followed.
struct Followed {
    folders: Folders,
    places: Places,
    canaries: Vec<Canary>,
}

impl Followed {
    /// Does what an operator does, and keeps what is said.
    #[track_caller]
    fn done(&mut self, node: &str, words: &[&str]) -> Ended {
        let ended = ask(&self.folders, node, words, STORE_PASSWORD, b"");
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        self.places.add_command(&words.join(" "), &ended, false);
        ended
    }

    /// The same, of what prints a secret, which is looked for from now on.
    #[track_caller]
    fn printed(&mut self, node: &str, words: &[&str]) -> String {
        let ended = ask(&self.folders, node, words, STORE_PASSWORD, b"");
        self.places.add_command(&words.join(" "), &ended, true);
        ended.ok().trim().to_owned()
    }

    fn looks_for_key(&mut self, name: &'static str, node: &str, path: &str) {
        self.canaries.push(Canary::of_key(name, &value(&self.folders, node, path)));
    }

    fn token(&mut self, words: &[&str]) -> String {
        let token = self.printed("head", &[&["token", "create", "--quiet"], words].concat());
        self.canaries.extend(Canary::of_token(&token));
        token
    }

    /// Begins to join.
    fn joins(&self, name: &str, authority: &str, token: &str, words: &[&str]) -> Running {
        let mut join = self.folders.join_command(name, authority, token);
        join.args(words).env("RUST_LOG", "trace").env("P2P_STORE_PASSWORD", STORE_PASSWORD);
        Running::spawn(join)
    }
}

#[test]
fn case_11_what_operators_do_with_authorities_nodes_clients_and_backups_shows_no_secret_either() {
    let (folders, here) = (Folders::new(), ["--advertise", "127.0.0.1", "--listen", "127.0.0.1:0", "--output", "json"]);
    let mut cluster = Followed { folders, places: Places::default(), canaries: Vec::new() };
    let made = cluster.printed("head", &[&["init", "--node-id", "head"][..], &here].concat());
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let recovery_key = made["recovery_key"].as_str().unwrap().to_owned();
    let head = start(&cluster.folders, "head");
    let authority = head.authority();
    let token = cluster.token(&["--role", "coordinator"]);
    let mut second = cluster.joins("second", &authority, &token, &["--role", "coordinator"]);
    second.wait_for("ready");

    // Nodes that wait; one comes in, the other not.
    let token = cluster.token(&["--approve", "manual", "--uses", "2"]);
    let mut worker = cluster.joins("worker", &authority, &token, &[]);
    let mut stranger = cluster.joins("stranger", &authority, &token, &[]);
    let key = worker.wait_for("waiting_for_approval").last().unwrap()["key"].as_str().unwrap().to_owned();
    stranger.wait_for("waiting_for_approval");
    cluster.done("head", &["node", "pending"]);
    cluster.done("head", &["node", "approve", "worker", "--key", &format!("sha256:{key}")]);
    cluster.done("head", &["node", "deny", "stranger", "--reason", "not ours"]);
    worker.wait_for("ready");
    let (refused, log, events) = stranger.ended_with_events();
    assert!(!refused.success() && log.contains("not ours") && events.contains("waiting_for_approval"), "{log}");
    cluster.places.add("the log of stranger", log);
    cluster.places.add("the events of stranger", events);
    cluster.places.add_files(&cluster.folders.of("stranger"));
    cluster.looks_for_key("a worker's key", "worker", "identity/node.key");
    let open = cluster.token(&[]);

    // Clients, and the keys that sign their tokens.
    let credential = cluster.printed("head", &["client", "create", "ci-bot", "--scope", "orders:read", "--quiet"]);
    let before = signing_seeds(&cluster.folders, "head");
    cluster.done("head", &["client", "list"]);
    cluster.done("head", &["client", "remove", "ci-bot"]);
    cluster.done("head", &["client", "replace-keys"]);
    let after = signing_seeds(&cluster.folders, "head");
    assert_ne!(before[0].forms, after[0].forms, "another key signs");
    cluster.canaries.extend(before.into_iter().chain(after));

    // The root's key is handed on, and the root is changed, which waits for a node that is away until that is revoked.
    cluster.looks_for_key("the root's key", "head", "ca/root.key");
    cluster.done("head", &["ca", "share", "second"]);
    let backup = cluster.folders.of("backup");
    cluster.done("head", &["store", "backup", backup.to_str().unwrap()]);
    worker.signal("TERM");
    cluster.places.add_stopped(&cluster.folders, "worker", worker);
    cluster.done("head", &["ca", "rotate", "--detach"]);
    cluster.looks_for_key("the next root's key", "head", "ca/next-root.key");
    cluster.done("head", &["node", "revoke", "worker", "--reason", "stolen"]);
    cluster.done("head", &["ca", "rotate"]);
    cluster.done("head", &["ca", "share", "second"]);
    for (name, path) in
        [("a node's key", "identity/node.key"), ("an authority's key", "ca/issuing.key"), ("the new root's key", "ca/root.key")]
    {
        cluster.looks_for_key(name, "head", path);
        cluster.looks_for_key(name, "second", path);
    }
    cluster.done("head", &["ca", "show"]);
    cluster.done("head", &["token", "list"]);
    for (name, node) in [("head", head), ("second", second)] {
        node.signal("TERM");
        cluster.places.add_stopped(&cluster.folders, name, node);
    }

    // What was backed up is restored, by the recovery key; one that does not open it, too, is shown nowhere.
    let key = cluster.folders.file("recovery-key", &recovery_key);
    let other = format!("{}{}", if recovery_key.starts_with('0') { '1' } else { '0' }, &recovery_key[1..]);
    let wrong = cluster.folders.file("wrong-key", &other);
    let restore = |key: &Path| {
        ["store", "restore", backup.to_str().unwrap(), "--recovery-key-file", key.to_str().unwrap()].map(str::to_owned)
    };
    let words = restore(&wrong);
    let refused = ask(&cluster.folders, "again", &words.each_ref().map(String::as_str), "", b"");
    refused.error(1);
    cluster.places.add_command("store restore, refused", &refused, false);
    cluster.done("again", &restore(&key).each_ref().map(String::as_str));
    let again = start(&cluster.folders, "again");
    cluster.done("again", &["ca", "show"]);
    cluster.done("again", &["token", "list"]);
    again.signal("TERM");
    cluster.places.add_stopped(&cluster.folders, "again", again);
    cluster.places.add("the backup", fs::read(&backup).unwrap());

    let Followed { places, mut canaries, .. } = cluster;
    canaries.extend(Canary::of_token(&open));
    canaries.extend([
        Canary::of("the store's password", STORE_PASSWORD.as_bytes()),
        Canary::of("the recovery key", recovery_key.as_bytes()),
        Canary::of("another recovery key", other.as_bytes()),
        Canary::of("a client's credential", credential.as_bytes()),
    ]);
    assert!(canaries.len() >= 20, "{}", canaries.len());
    places.assert_without(&canaries);
}

/// It is no check that keeps secrets out of what is written, but the types that they are of, which cannot be printed: there is nothing to leave out. So the
/// control shows that the search finds what would stand there. (Of the store, the control is the product less its cipher: `storage/tests/security/canary.rs` in
/// `p2p-runtime`.)
#[test]
fn case_11_control_a_secret_is_found_in_whatever_form_it_is_written() {
    let secret = b"canary five: sixteen bytes, or more";
    let canary = Canary::of("a secret", secret);
    let engine = &base64::engine::general_purpose::STANDARD;
    let within = |before: &str| engine.encode([before.as_bytes(), secret, b" and more"].concat());
    for (name, text) in [
        ("plain", String::from_utf8_lossy(secret).into_owned()),
        ("debug", format!("{secret:?}")),
        ("base64", within("")),
        ("base64 after one", within("1")),
        ("base64 after two", within("12")),
        ("hex", hex(secret)),
    ] {
        let mut places = Places::default();
        places.add(name, format!("INFO before {text} behind"));
        assert_eq!(places.with(&canary), [name]);
    }
    assert!(!canary.is_in("canary five: sixteen bytes"));
}

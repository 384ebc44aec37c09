//! Case 11, of a whole cluster: what is secret stands in no log line, no error, and no file but the stores.

use std::{fs, path::Path};

use base64::Engine as _;

use crate::harness::{Ended, Folders, PATIENCE, Running, run, run_with_input};

const STORE_PASSWORD: &str = "canary one: the password of the store";
const NEW_PASSWORD: &str = "canary two: another password";
const WRONG_PASSWORD: &str = "canary three: a password that does not open it";
const VALUE: &[u8] = b"canary four: what a service keeps";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A secret, in the forms in which it could stand somewhere.
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
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
        Self { name, forms }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.forms.iter().any(|form| text.windows(form.len()).any(|window| window == form))
    }
}

/// Places in which nothing secret may be, by their names.
#[derive(Default)]
struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    fn add(&mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.push((name.into(), content.into()));
    }

    /// All that a command said. Where it prints the secret that was asked for, only what it said beside that.
    fn add_command(&mut self, name: &str, ended: &Ended, prints_a_secret: bool) {
        self.add(format!("what {name} says of itself"), ended.stderr.clone());
        if !prints_a_secret {
            self.add(format!("what {name} prints"), ended.stdout.clone());
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
    let secrets: Vec<_> = ["identity/node.key", "ca/root.key", "ca/issuing.key"]
        .map(|path| {
            let found = ask(&folders, "head", &["store", "cat", path, "--output", "json"], STORE_PASSWORD, b"").json();
            let value = found["value"].as_str().or_else(|| found["base64"].as_str()).unwrap_or_else(|| panic!("{found}"));
            base64::engine::general_purpose::STANDARD.decode(value).unwrap()
        })
        .into();
    let changed = folders.file("new-password", NEW_PASSWORD);
    let ended =
        ask(&folders, "head", &["store", "passwd", "--new-password-file", changed.to_str().unwrap()], STORE_PASSWORD, b"");
    places.add_command("store passwd", &ended, false);
    assert!(ended.status.success(), "{ended:?}");
    fs::remove_file(changed).unwrap();
    folders.wait_for_status("worker", "head", "alive", PATIENCE);

    for (name, node) in [("head", head), ("worker", worker)] {
        node.signal("TERM");
        let (status, log) = node.ended();
        assert!(status.success(), "{log}");
        assert!(log.contains("TRACE"), "everything is logged");
        places.add(format!("the log of {name}"), log);
        places.add_files(&folders.of(name));
    }
    let seed = token.split('.').nth(1).unwrap();
    let mut canaries = vec![
        Canary::of("the store's password", STORE_PASSWORD.as_bytes()),
        Canary::of("its new password", NEW_PASSWORD.as_bytes()),
        Canary::of("a wrong password", WRONG_PASSWORD.as_bytes()),
        Canary::of("the recovery key", recovery_key.as_bytes()),
        Canary::of("a value of a service", VALUE),
        Canary::of("a join token", token.as_bytes()),
        // The last 16 of its bytes are the secret.
        Canary::of("a join token's seed", &base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(seed).unwrap()[40..]),
        Canary::of("a client's credential", credential.as_bytes()),
    ];
    // A key's own number, which stands in the middle of its PKCS#8.
    canaries.extend(secrets.iter().map(|key| Canary::of("a private key", &key[36..68])));
    for canary in &canaries {
        assert_eq!(places.with(canary), Vec::<&str>::new(), "{} stands there", canary.name);
    }
}

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
    assert!(!canary.is_in(b"canary five: sixteen bytes"));
}

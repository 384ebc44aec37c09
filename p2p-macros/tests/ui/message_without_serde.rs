use p2p_runtime::Message;
use serde::{Deserialize, Serialize};

#[derive(Message)]
struct Bare {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Plain;

#[derive(Serialize, Deserialize, Message)]
struct Pair<T> {
    both: [T; 2],
}

fn send<T: Message>(_: &T) {}

fn main() {
    send(&Pair { both: [Plain, Plain] });
}

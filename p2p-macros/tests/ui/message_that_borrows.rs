use p2p_runtime::Message;

#[derive(Message)]
struct Greeting<'a> {
    text: &'a str,
}

#[derive(Message)]
#[message(rename = "hello")]
struct Hello;

fn main() {}

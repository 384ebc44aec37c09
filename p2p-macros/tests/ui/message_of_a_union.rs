use p2p_runtime::Message;

#[derive(Message)]
union Number {
    whole: u32,
    fraction: f32,
}

fn main() {}

use p2p_runtime::prelude::Node;

pub struct Greeter;

fn main() {
    let _ = Node::builder().serve(Greeter);
}

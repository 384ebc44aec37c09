pub struct NotAService;

p2p_runtime::register_services![NotAService];

fn main() {}

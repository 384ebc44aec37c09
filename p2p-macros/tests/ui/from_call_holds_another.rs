use p2p_runtime::FromCallError;

#[derive(FromCallError)]
pub enum OrderError {
    SoldOut,
    #[from_call]
    Failed(u8),
}

fn main() {}

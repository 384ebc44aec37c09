use p2p_runtime::{FromCallError, prelude::FailedCall};

#[derive(FromCallError)]
pub struct NoEnum(FailedCall);

#[derive(FromCallError)]
pub enum Unmarked {
    Failed(FailedCall),
}

#[derive(FromCallError)]
pub enum MarkedTwice {
    #[from_call]
    Failed(FailedCall),
    #[from_call]
    Broken,
}

#[derive(FromCallError)]
pub enum HoldsMore {
    #[from_call]
    Failed(FailedCall, u8),
}

#[derive(FromCallError)]
pub enum SaysMore {
    #[from_call(code)]
    Failed(FailedCall),
}

#[derive(FromCallError)]
pub enum MarkedInside {
    Failed(#[from_call] FailedCall),
}

#[derive(FromCallError)]
#[from_call]
pub enum MarkedOutside {
    Failed(FailedCall),
}

fn main() {}

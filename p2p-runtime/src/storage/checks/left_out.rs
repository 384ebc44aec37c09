//! Leaving out checks, for the controls of the security cases.

use std::cell::RefCell;

use super::Check;

thread_local! {
    /// Each test runs on a thread of its own, and reading or writing a store never leaves it.
    static LEFT_OUT: RefCell<Vec<Check>> = const { RefCell::new(Vec::new()) };
}

/// Whether the test that runs on this thread leaves this check out.
pub(in crate::storage) fn is_left_out(check: Check) -> bool {
    LEFT_OUT.with_borrow(|left_out| left_out.contains(&check))
}

/// Runs `attack` on a store that makes all checks but these.
pub(in crate::storage) fn without<T>(checks: &[Check], attack: impl FnOnce() -> T) -> T {
    /// Makes the checks again, also after a panic.
    struct Before(Vec<Check>);

    impl Drop for Before {
        fn drop(&mut self) {
            LEFT_OUT.set(std::mem::take(&mut self.0));
        }
    }

    let _before = Before(LEFT_OUT.replace(checks.to_vec()));
    attack()
}

#[test]
fn a_check_is_left_out_while_the_attack_runs_and_no_longer_also_when_it_panics() {
    let inside = || (is_left_out(Check::EndMark), is_left_out(Check::AfterEnd));
    assert_eq!(inside(), (false, false));
    assert_eq!(without(&[Check::EndMark], inside), (true, false));
    let panicked = std::panic::catch_unwind(|| without(&[Check::AfterEnd], || panic!("the attack fails")));
    assert!(panicked.is_err());
    assert_eq!(inside(), (false, false));
}

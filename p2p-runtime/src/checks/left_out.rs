//! Leaving out checks, for the controls of the security cases.

use std::{any::Any, cell::RefCell, sync::Arc};

type LeftOut = Vec<Arc<dyn Any + Send + Sync>>;

thread_local! {
    /// Each test runs on a thread of its own, and nothing of which checks can be left out leaves it, but what is [`carried`].
    static LEFT_OUT: RefCell<LeftOut> = const { RefCell::new(Vec::new()) };
}

/// Whether the test that runs on this thread leaves this check out.
pub(crate) fn is_left_out<C: Copy + PartialEq + 'static>(check: C) -> bool {
    LEFT_OUT.with_borrow(|left_out| left_out.iter().any(|left_out| left_out.downcast_ref() == Some(&check)))
}

/// Makes the checks again that were made before, when it is dropped: also after a panic.
struct Before(LeftOut);

impl Drop for Before {
    fn drop(&mut self) {
        LEFT_OUT.set(std::mem::take(&mut self.0));
    }
}

fn leave_out<C: Copy + Send + Sync + 'static>(checks: &[C]) -> Before {
    Before(LEFT_OUT.replace(checks.iter().map(|check| Arc::new(*check) as _).collect()))
}

/// Runs `attack` on a program that makes all checks but these.
pub(crate) fn without<C: Copy + Send + Sync + 'static, T>(checks: &[C], attack: impl FnOnce() -> T) -> T {
    let _before = leave_out(checks);
    attack()
}

/// The same with an attack that waits; the test's runtime has to be of one thread, as it is unless it says otherwise.
pub(crate) async fn without_during<C: Copy + Send + Sync + 'static, T>(checks: &[C], attack: impl Future<Output = T>) -> T {
    let _before = leave_out(checks);
    attack.await
}

/// Work for another thread, which leaves out there what is left out on this one now.
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let left_out = LEFT_OUT.with_borrow(Clone::clone);
    move || {
        let _before = Before(LEFT_OUT.replace(left_out));
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum One {
        Here,
        There,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Other {
        Here,
    }

    fn left_out() -> [bool; 3] {
        [is_left_out(One::Here), is_left_out(One::There), is_left_out(Other::Here)]
    }

    #[test]
    fn a_check_is_left_out_while_the_attack_runs_and_no_longer_also_when_it_panics() {
        assert_eq!(left_out(), [false; 3]);
        assert_eq!(without(&[One::Here], left_out), [true, false, false]);
        let panicked = std::panic::catch_unwind(|| without(&[One::There], || panic!("the attack fails")));
        assert!(panicked.is_err());
        assert_eq!(left_out(), [false; 3]);
    }

    #[tokio::test]
    async fn a_check_is_left_out_while_an_attack_waits_and_on_no_other_thread() {
        let attack = async {
            tokio::task::yield_now().await;
            (left_out(), std::thread::spawn(left_out).join().unwrap())
        };
        assert_eq!(without_during(&[Other::Here], attack).await, ([false, false, true], [false; 3]));
        assert_eq!(left_out(), [false; 3]);
    }

    #[test]
    fn what_is_carried_to_another_thread_leaves_out_the_same_there_and_the_thread_makes_its_checks_again() {
        let work = without(&[One::Here], || carried(left_out));
        let elsewhere = std::thread::spawn(|| (work(), left_out()));
        assert_eq!(elsewhere.join().unwrap(), ([true, false, false], [false; 3]));
    }
}

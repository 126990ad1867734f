//! Ctrl-C during long work: the run under way is finished, what was found is told, and the work ends. A second one ends it at once.

use std::{
    ops::ControlFlow,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{INTERRUPTED, ask::tell, processes::interrupted};

/// Whether the one who runs it does not want it any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaking(Arc<AtomicBool>);

impl Breaking {
    /// Signals are caught from now on.
    pub(super) fn watch() -> Self {
        let breaking = Self::default();
        let seen = Arc::clone(&breaking.0);
        let watch = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
            runtime.block_on(async {
                interrupted().await;
                seen.store(true, Ordering::Relaxed);
                tell("interrupted: what is under way is finished; once more ends it at once");
                interrupted().await;
                exit(i32::from(INTERRUPTED));
            });
        };
        // Without the thread the signal does what it always does.
        let _ = thread::Builder::new().name("signals".to_owned()).spawn(watch);
        breaking
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a campaign is told after each run.
pub(super) fn go_on(breaking: &Breaking) -> ControlFlow<()> {
    if breaking.is_wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

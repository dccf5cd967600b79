//! Identifiers that cannot be mixed up: each is its own type.
use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the table that this identifier counts.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<usize> for $name {
            /// # Panics
            /// If there are more than 2³² of them.
            fn from(index: usize) -> Self {
                Self(u32::try_from(index).expect("fewer than 2^32 ids"))
            }
        }
    };
}

id! {
    /// A task: its position in the system's task table.
    TaskId
}
id! {
    /// A loaded model: its position in the system's model table.
    ModelId
}
id! {
    /// A partition of the device: jobs on one partition run one at a time.
    PartitionId
}

/// One activation of a task: the `seq`-th, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct JobId {
    /// The task that was activated.
    pub task: TaskId,
    /// Which activation, from 0.
    pub seq: u64,
}

/// `task#seq` with the number of the task; whoever knows the names prints `camera#118`.
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task.0, self.seq)
    }
}

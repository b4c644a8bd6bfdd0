//! What can be asked of a node: the `api` byte of the frame header, and the protocol's versions.
//!
//! Numbers are never reused. Hello comes first on every connection; see [`crate::session`].

use std::fmt;

/// Oldest protocol version this crate speaks.
pub const VERSION_MIN: u8 = 1;

/// Newest protocol version this crate speaks.
pub const VERSION_MAX: u8 = 1;

/// A kind of request, as the `api` byte of a frame header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Api {
    /// Opens a session: versions, and the shard the client wants.
    Hello = 1,
    /// Nodes, and for topics the place of each partition.
    Metadata = 2,
    /// Creates a topic.
    CreateTopic = 3,
    /// Changes settings of a topic.
    AlterTopic = 4,
    /// Settings and the state of each partition of one topic.
    DescribeTopic = 5,
    /// Every topic in short.
    ListTopics = 6,
    /// Deletes a topic and its records.
    DeleteTopic = 7,
    /// Gives an idempotent producer its id and epoch.
    InitProducer = 8,
    /// Appends batches.
    Produce = 9,
    /// Reads batches.
    Fetch = 10,
    /// Finds offsets by timestamp.
    ListOffsets = 11,
}

impl Api {
    /// Every api, in the order of their numbers.
    pub const ALL: [Api; 11] = [
        Api::Hello,
        Api::Metadata,
        Api::CreateTopic,
        Api::AlterTopic,
        Api::DescribeTopic,
        Api::ListTopics,
        Api::DeleteTopic,
        Api::InitProducer,
        Api::Produce,
        Api::Fetch,
        Api::ListOffsets,
    ];

    /// The name as the documentation spells it.
    pub fn name(self) -> &'static str {
        match self {
            Api::Hello => "Hello",
            Api::Metadata => "Metadata",
            Api::CreateTopic => "CreateTopic",
            Api::AlterTopic => "AlterTopic",
            Api::DescribeTopic => "DescribeTopic",
            Api::ListTopics => "ListTopics",
            Api::DeleteTopic => "DeleteTopic",
            Api::InitProducer => "InitProducer",
            Api::Produce => "Produce",
            Api::Fetch => "Fetch",
            Api::ListOffsets => "ListOffsets",
        }
    }

    /// The numbers of [`Api::ALL`], as Hello and an UnsupportedApi error list them.
    pub fn numbers() -> Vec<u8> {
        Api::ALL.iter().map(|api| *api as u8).collect()
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An `api` byte that names nothing this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("api {0} is not known here; use one of those that Hello listed")]
pub struct UnknownApi(pub u8);

impl TryFrom<u8> for Api {
    type Error = UnknownApi;

    fn try_from(number: u8) -> Result<Self, UnknownApi> {
        let index = usize::from(number).wrapping_sub(1);
        Api::ALL.get(index).copied().ok_or(UnknownApi(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_maps_to_its_own_api_and_back() {
        for number in 0..=u8::MAX {
            match Api::try_from(number) {
                Ok(api) => assert_eq!(api as u8, number),
                Err(error) => {
                    assert_eq!(error, UnknownApi(number));
                    assert!(number == 0 || number > 11);
                }
            }
        }
        assert_eq!(Api::numbers(), (1..=11).collect::<Vec<u8>>());
    }
}

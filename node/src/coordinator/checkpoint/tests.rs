//! The file: round trips, frozen bytes, damage.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::SimDisk;
use crate::raft::{LeaderId, Membership};
use crate::testing::{assert_golden, from_golden};
use futures::executor::block_on;
use proptest::prelude::*;
use ringspool_ring::{Command, TopicSettings};
use std::collections::BTreeSet;
use std::rc::Rc;

const GOLDEN: &str = include_str!("../../../tests/golden/coordinator-checkpoint.hex");

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn metadata(topics: usize) -> Arc<Metadata> {
    let mut metadata = Metadata::new();
    let init = Command::InitCluster {
        cluster_id: "c".into(),
        vnode_count: 4,
        format_version: ringspool_ring::limits::FORMAT_VERSION,
    };
    metadata.apply(&init).unwrap();
    for topic in 0..topics {
        let create = Command::CreateTopic {
            name: format!("topic-{topic}"),
            partitions: 1 + topic as u32,
            replicas: 1,
            settings: TopicSettings::default(),
            created_ms: 1,
        };
        // Without a node there is nowhere to put one.
        drop(metadata.apply(&create));
    }
    Arc::new(metadata)
}

fn sample() -> CoordinatorCheckpoint {
    let membership = Membership::new_with_defaults(vec![BTreeSet::from([1])], BTreeSet::new());
    CoordinatorCheckpoint {
        applied: Some(log_id(3, 44)),
        membership: StoredMembership::new(Some(log_id(1, 0)), membership),
        metadata: metadata(0),
    }
}

#[test]
fn the_bytes_are_frozen_and_understood() {
    assert_golden(&encode(&sample()), GOLDEN);
    assert_eq!(decode(&from_golden(GOLDEN)), Ok(sample()));
}

#[test]
fn every_flipped_byte_is_noticed() {
    let good = encode(&sample());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(decode(&bad), Err("its checksum is wrong".into()), "byte {at}");
        }
    }
    for end in 0..good.len() {
        assert!(decode(&good[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_right_checksum_does_not_make_nonsense_right() {
    let good = encode(&sample());
    let content = &good[..good.len() - 4];
    let with_checksum =
        |content: &[u8]| [content, &crc32c::crc32c(content).to_le_bytes()[..]].concat();
    assert!(decode(&with_checksum(&[content, &[0]].concat())).unwrap_err().starts_with("end at"));
    for end in 0..content.len() {
        assert!(decode(&with_checksum(&content[..end])).is_err(), "cut at {end}");
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_stays() {
    let disk = SimDisk::new();
    let path = path(Path::new("/data"));
    block_on(disk.create_dir_all(path.parent().unwrap())).unwrap();
    block_on(disk.write_file_atomic(&path, encode(&sample()))).unwrap();
    let load_now = || {
        let state = CoordinatorState::new(Rc::new(disk.clone()), Path::new("/data"));
        block_on(load(&disk, Path::new("/data"), &state)).map(|()| state.applied())
    };
    assert_eq!(load_now().unwrap(), Some(log_id(3, 44)));
    assert!(disk.flip_bit(&path, 30));
    let error = load_now().unwrap_err().to_string();
    assert!(error.starts_with("/data/coordinator/checkpoint: its checksum is wrong"), "{error}");
    assert_eq!(disk.files(), [path]);
}

proptest! {
    #[test]
    fn a_checkpoint_comes_back(
        applied in proptest::option::of(any::<(u64, u64)>()),
        topics in 0usize..4,
    ) {
        let applied = applied.map(|(term, index)| log_id(term, index));
        let sent = CoordinatorCheckpoint { applied, metadata: metadata(topics), ..sample() };
        prop_assert_eq!(decode(&encode(&sent)), Ok(sent));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&bytes).is_err());
    }
}

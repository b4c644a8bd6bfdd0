//! Commands and snapshots as bytes: there and back, from damaged bytes, and in a year's time.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use ringspool_ring::{Command, DecodeError, Metadata, NodeInfo, NodeState, TopicSettings};

fn any_text(bytes_max: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[ -~]{{0,{bytes_max}}}")).unwrap()
}

fn any_state() -> impl Strategy<Value = NodeState> {
    proptest::sample::select(&NodeState::ALL[..])
}

fn any_node() -> impl Strategy<Value = NodeInfo> {
    (
        any::<u64>(),
        any_text(30),
        any::<u16>(),
        proptest::option::of(any_text(10)),
        any::<u32>(),
        any_state(),
        any_text(12),
    )
        .prop_map(|(id, address, shards, rack, weight, state, version)| NodeInfo {
            id,
            address,
            shards,
            rack,
            weight,
            state,
            version,
        })
}

fn any_settings() -> impl Strategy<Value = TopicSettings> {
    (
        any::<u64>(),
        any::<u64>(),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<u32>(),
        any::<u64>(),
    )
        .prop_map(|(a, b, c, d, e, f)| TopicSettings {
            segment_bytes: a,
            segment_ms: b,
            retention_ms: c,
            retention_bytes: d,
            batch_bytes_max: e,
            record_bytes_max: f,
        })
}

/// Any command at all, sensible or not.
fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (any_text(64), any::<u32>(), any::<u32>()).prop_map(
            |(cluster_id, vnode_count, format_version)| Command::InitCluster {
                cluster_id,
                vnode_count,
                format_version
            }
        ),
        any_node().prop_map(Command::RegisterNode),
        (any_text(40), any::<u32>(), any::<u16>(), any_settings(), any::<u64>()).prop_map(
            |(name, partitions, replicas, settings, created_ms)| Command::CreateTopic {
                name,
                partitions,
                replicas,
                settings,
                created_ms
            }
        ),
        (any_text(40), proptest::collection::vec((any_text(20), any_text(20)), 0..5))
            .prop_map(|(name, settings)| Command::AlterTopic { name, settings }),
        any_text(40).prop_map(|name| Command::DeleteTopic { name }),
        any::<u32>().prop_map(|count| Command::AllocateProducerIds { count }),
    ]
}

/// Commands that mostly succeed, on a few names and nodes.
fn plausible_command() -> impl Strategy<Value = Command> {
    let name = || (0u8..6).prop_map(|n| format!("topic-{n}"));
    let setting = prop_oneof![
        Just(("retention_ms", "7d")),
        Just(("segment_bytes", "64MiB")),
        Just(("retention_bytes", "-1")),
        Just(("retention_ms", "default")),
        Just(("bad", "1")),
    ];
    prop_oneof![
        2 => (1u64..5, any_state(), 0u32..3).prop_map(|(id, state, rack)| {
            Command::RegisterNode(NodeInfo {
                id,
                address: format!("n{id}:7400"),
                shards: 2,
                rack: (rack > 0).then(|| format!("r{rack}")),
                weight: 100,
                state,
                version: "0.1.0".into(),
            })
        }),
        6 => (name(), 1u32..200, 1u16..3, any::<u64>()).prop_map(
            |(name, partitions, replicas, created_ms)| Command::CreateTopic {
                name, partitions, replicas, settings: TopicSettings::default(), created_ms
            }
        ),
        2 => (name(), setting).prop_map(|(name, (key, value))| Command::AlterTopic {
            name, settings: vec![(key.into(), value.into())]
        }),
        3 => name().prop_map(|name| Command::DeleteTopic { name }),
        1 => (0u32..5000).prop_map(|count| Command::AllocateProducerIds { count }),
    ]
}

fn start() -> Metadata {
    let mut metadata = Metadata::new();
    let init =
        Command::InitCluster { cluster_id: "c-1".into(), vnode_count: 64, format_version: 1 };
    metadata.apply(&init).unwrap();
    metadata
}

/// A small state with everything in it.
fn sample() -> Metadata {
    let mut metadata = start();
    for (id, rack) in [(1, None), (2, Some("r1".to_owned()))] {
        let node = NodeInfo {
            id,
            address: format!("10.0.0.{id}:7400"),
            shards: 2,
            rack,
            weight: 100,
            state: if id == 1 { NodeState::Active } else { NodeState::Joining },
            version: "0.1.0".into(),
        };
        metadata.apply(&Command::RegisterNode(node)).unwrap();
    }
    metadata.apply(&Command::AllocateProducerIds { count: 1000 }).unwrap();
    for command in sample_commands() {
        metadata.apply(&command).unwrap();
    }
    metadata
}

fn sample_commands() -> [Command; 3] {
    [
        Command::CreateTopic {
            name: "orders".into(),
            partitions: 3,
            replicas: 2,
            settings: TopicSettings::default(),
            created_ms: 1_700_000_000_000,
        },
        Command::AlterTopic {
            name: "orders".into(),
            settings: vec![("retention_ms".into(), "7d".into())],
        },
        Command::CreateTopic {
            name: "audit".into(),
            partitions: 1,
            replicas: 1,
            settings: TopicSettings { retention_bytes: Some(1 << 30), ..TopicSettings::default() },
            created_ms: 1_700_000_000_001,
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_command_comes_back_as_it_was(command in any_command()) {
        let bytes = command.encode();
        prop_assert_eq!(Command::decode(&bytes), Ok(command));
        for cut in 0..bytes.len() {
            prop_assert!(Command::decode(&bytes[..cut]).is_err(), "cut at {}", cut);
        }
        let longer = [&bytes[..], &[0]].concat();
        let left_over = DecodeError::LeftOver { at: bytes.len(), left: 1 };
        prop_assert_eq!(Command::decode(&longer), Err(left_over));
    }

    #[test]
    fn any_command_is_answered(commands in proptest::collection::vec(any_command(), 1..20)) {
        let mut metadata = start();
        for command in &commands {
            let before = metadata.version();
            let applied = metadata.apply(command);
            prop_assert!(metadata.version() - before <= u64::from(applied.is_ok()));
        }
        prop_assert_eq!(Metadata::decode(&metadata.encode()), Ok(metadata));
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Command::decode(&bytes);
        prop_assert!(Metadata::decode(&bytes).is_err());
        // Behind a good version and kind, and behind a good frame.
        for kind in 0..8 {
            let _ = Command::decode(&[&[1, kind], &bytes[..]].concat());
        }
        let mut framed = [b"RSMD\x01\0\0\0", &bytes[..]].concat();
        let crc = crc32c::crc32c(&framed);
        framed.extend_from_slice(&crc.to_le_bytes());
        let _ = Metadata::decode(&framed);
    }

    #[test]
    fn the_same_commands_give_the_same_bytes(
        commands in proptest::collection::vec(plausible_command(), 0..60), at in any::<u8>(),
    ) {
        let at = usize::from(at) % (commands.len() + 1);
        let (mut whole, mut other) = (start(), start());
        for command in &commands {
            let _ = whole.apply(command);
        }
        for command in &commands[..at] {
            let _ = other.apply(&Command::decode(&command.encode()).unwrap());
        }
        // A replica that starts from a snapshot goes on like one that saw everything.
        let mut other = Metadata::decode(&other.encode()).unwrap();
        for command in &commands[at..] {
            let _ = other.apply(&Command::decode(&command.encode()).unwrap());
        }
        prop_assert_eq!(hex(&other.encode()), hex(&whole.encode()));
        prop_assert_eq!(other, whole, "what is derived is the same too");
    }

    #[test]
    fn a_changed_body_never_makes_a_state_that_breaks_its_rules(
        at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        // With the checksum made good again, only the checks behind it stand.
        let mut bytes = sample().encode();
        let body = bytes.len() - 4;
        bytes[at.index(body)] = to;
        let crc = crc32c::crc32c(&bytes[..body]);
        bytes[body..].copy_from_slice(&crc.to_le_bytes());
        if let Ok(mut metadata) = Metadata::decode(&bytes) {
            prop_assert_eq!(hex(&metadata.encode()), hex(&bytes), "it means what it says");
            let names: Vec<String> =
                metadata.topics_by_name().map(|topic| topic.name.to_string()).collect();
            for name in names {
                metadata.apply(&Command::DeleteTopic { name }).unwrap();
            }
            prop_assert_eq!(metadata.partitions_total(), 0);
        }
    }
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_noticed() {
    let bytes = sample().encode();
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            assert!(Metadata::decode(&damaged).is_err(), "byte {at} ^ {mask:02x}");
        }
    }
    for cut in 0..bytes.len() {
        assert!(Metadata::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn damage_is_told_from_other_versions_and_other_files() {
    let bytes = sample().encode();
    let decode = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        Metadata::decode(&changed).unwrap_err()
    };
    assert!(matches!(decode(0, b'X'), DecodeError::BadMagic { .. }));
    assert!(matches!(decode(4, 2), DecodeError::UnsupportedVersion { version: 2, .. }));
    assert!(matches!(decode(20, 0xee), DecodeError::Damaged { .. }));
    assert!(matches!(Metadata::decode(b"RS"), Err(DecodeError::Truncated { .. })));
    assert!(matches!(
        Command::decode(&[9, 1]),
        Err(DecodeError::UnsupportedVersion { what: "command", version: 9, .. })
    ));
    assert!(matches!(
        Command::decode(&[1, 99]),
        Err(DecodeError::UnknownKind { what: "command", number: 99 })
    ));
}

#[test]
fn a_length_is_checked_before_anything_is_allocated() {
    // 2^32 - 1 pairs, and nothing behind.
    let many = [&[1u8, 4, 1, 0, b't'][..], &[0xff; 4]].concat();
    assert!(matches!(Command::decode(&many), Err(DecodeError::TooMany { what: "settings", .. })));
    let long = [&[1u8, 5][..], &250u16.to_le_bytes(), &[b'x'; 250]].concat();
    assert!(matches!(Command::decode(&long), Err(DecodeError::TooMany { what: "topic name", .. })));
    let huge = vec![1; 64 * 1024 + 1];
    assert!(matches!(Command::decode(&huge), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn a_text_too_long_for_its_length_stays_refused() {
    let name = "é".repeat(40_000);
    let bytes = Command::DeleteTopic { name }.encode();
    assert!(matches!(Command::decode(&bytes), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn the_state_before_a_cluster_has_a_snapshot_too() {
    let empty = Metadata::new();
    assert_eq!(Metadata::decode(&empty.encode()), Ok(empty));
}

/// Frozen: what old programs wrote must stay readable, and replicas must agree.
#[test]
fn golden_bytes() {
    let [create, alter, _] = sample_commands();
    assert_eq!(hex(&create.encode()), GOLDEN_CREATE);
    assert_eq!(hex(&alter.encode()), GOLDEN_ALTER);
    assert_eq!(hex(&sample().encode()), GOLDEN_SNAPSHOT);
}

const GOLDEN_CREATE: &str = "010306006f72646572730300000002000068e5cf8b010000000000100000000000840c240000000000000000\
    80000000000400000000";
const GOLDEN_ALTER: &str = "010406006f7264657273010000000c00726574656e74696f6e5f6d7302003764";
const GOLDEN_SNAPSHOT: &str = "52534d440100000007000000000000000300632d3101000000400000000300000000000000e9030000000000\
    000200000001000000000000000d0031302e302e302e313a3734303002000064000000020500302e312e3002\
    000000000000000d0031302e302e302e323a373430300200010200723164000000010500302e312e30020000\
    00010000000000000006006f726465727302000068e5cf8b010000000000100000000000840c240000000001\
    00840c2400000000000000800000000004000000000300000034001b00020002000000000000000500617564\
    697401000168e5cf8b010000000000100000000000840c240000000000010000004000000000000080000000\
    000400000000010000000500d045746f";

//! What commands do to the metadata, and what they are refused for.
#![allow(clippy::unwrap_used, missing_docs)]

use ringspool_ring::limits::{FORMAT_VERSION, PARTITIONS_PER_TOPIC_MAX, SETTING_PAIRS_MAX};
use ringspool_ring::{
    Applied, Command, Metadata, NodeInfo, NodeState, Refused, SettingError, TopicSettings,
};

fn node(id: u64) -> NodeInfo {
    NodeInfo {
        id,
        address: format!("10.0.0.{id}:7400"),
        shards: 2,
        rack: None,
        weight: 100,
        state: NodeState::Active,
        version: "0.1.0".into(),
    }
}

fn init(cluster_id: &str, vnode_count: u32, format_version: u32) -> Command {
    Command::InitCluster { cluster_id: cluster_id.into(), vnode_count, format_version }
}

fn create(name: &str, partitions: u32, replicas: u16) -> Command {
    Command::CreateTopic {
        name: name.into(),
        partitions,
        replicas,
        settings: TopicSettings::default(),
        created_ms: 1_700_000_000_000,
    }
}

fn alter(name: &str, settings: &[(&str, &str)]) -> Command {
    let settings = settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Command::AlterTopic { name: name.into(), settings }
}

fn cluster() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.apply(&init("c1", 64, 1)).unwrap();
    metadata.apply(&Command::RegisterNode(node(1))).unwrap();
    metadata
}

/// Applies what must be refused, and checks that it left no trace.
#[track_caller]
fn refused(metadata: &mut Metadata, command: &Command) -> Refused {
    let before = metadata.clone();
    let refused = metadata.apply(command).unwrap_err();
    assert_eq!(*metadata, before, "a refusal changes nothing");
    assert_eq!(metadata.encode(), before.encode());
    assert!(!refused.to_string().is_empty());
    refused
}

#[test]
fn nothing_is_accepted_before_the_cluster_exists() {
    let mut metadata = Metadata::new();
    assert!(!metadata.is_initialised());
    for command in [
        Command::RegisterNode(node(1)),
        create("t", 1, 1),
        alter("t", &[]),
        Command::DeleteTopic { name: "t".into() },
        Command::AllocateProducerIds { count: 1 },
    ] {
        assert_eq!(refused(&mut metadata, &command), Refused::NotInitialised);
    }
    assert_eq!(metadata.version(), 0);
}

#[test]
fn a_cluster_is_created_once() {
    let mut metadata = Metadata::new();
    assert_eq!(metadata.apply(&init("c1", 64, 1)), Ok(Applied::Done));
    assert_eq!((metadata.version(), metadata.cluster_id(), metadata.vnode_count()), (1, "c1", 64));
    assert_eq!(metadata.apply(&init("c1", 64, 1)), Ok(Applied::Done), "it may be repeated");
    assert_eq!(metadata.version(), 1, "and then changes nothing");
    for other in [init("c2", 64, 1), init("c1", 65, 1)] {
        let refused = refused(&mut metadata, &other);
        assert!(matches!(refused, Refused::AlreadyInitialised { vnode_count: 64, .. }));
    }
}

#[test]
fn a_cluster_that_cannot_be_is_refused() {
    let mut metadata = Metadata::new();
    let long = "x".repeat(65);
    for id in ["", "a b", "a\n", "é", &*long] {
        let refused = refused(&mut metadata, &init(id, 64, 1));
        assert!(matches!(refused, Refused::InvalidClusterId { .. }), "{id:?}");
    }
    for vnode_count in [0, 4097] {
        assert_eq!(
            refused(&mut metadata, &init("c", vnode_count, 1)),
            Refused::InvalidVnodeCount { vnode_count }
        );
    }
    for format_version in [0, FORMAT_VERSION + 1] {
        assert_eq!(
            refused(&mut metadata, &init("c", 64, format_version)),
            Refused::UnsupportedFormat { format_version }
        );
    }
    assert_eq!(metadata.apply(&init("c", 4096, 1)), Ok(Applied::Done), "not a power of two less");
}

#[test]
fn nodes_are_added_and_changed() {
    let mut metadata = cluster();
    let version = metadata.version();
    metadata.apply(&Command::RegisterNode(node(1))).unwrap();
    assert_eq!(metadata.version(), version, "nothing new");
    let moved = NodeInfo { address: "[::1]:7500".into(), shards: 4, ..node(1) };
    metadata.apply(&Command::RegisterNode(moved.clone())).unwrap();
    assert_eq!((metadata.version(), &**metadata.node(1).unwrap()), (version + 1, &moved));
    assert_eq!(
        refused(
            &mut metadata,
            &Command::RegisterNode(NodeInfo { address: moved.address.clone(), ..node(2) })
        ),
        Refused::AddressTaken { id: 2, address: moved.address, other: 1 }
    );
}

#[test]
fn nodes_that_cannot_be_are_told_why() {
    let mut metadata = cluster();
    let good = node(2);
    for (bad, why) in [
        (NodeInfo { id: 0, ..good.clone() }, "begin at 1"),
        (NodeInfo { shards: 0, ..good.clone() }, "at least one shard"),
        (NodeInfo { weight: 1001, ..good.clone() }, "above 1000"),
        (NodeInfo { address: "host".into(), ..good.clone() }, "not HOST:PORT"),
        (NodeInfo { address: ":7400".into(), ..good.clone() }, "not HOST:PORT"),
        (NodeInfo { address: "host:0".into(), ..good.clone() }, "not HOST:PORT"),
        (NodeInfo { address: "host:65536".into(), ..good.clone() }, "not HOST:PORT"),
        (NodeInfo { address: format!("{}:1", "h".repeat(258)), ..good.clone() }, "260 bytes"),
        (NodeInfo { rack: Some(String::new()), ..good.clone() }, "leave it out"),
        (NodeInfo { rack: Some("a\tb".into()), ..good.clone() }, "control characters"),
        (NodeInfo { version: "v".repeat(65), ..good.clone() }, "65 bytes"),
    ] {
        let refused = refused(&mut metadata, &Command::RegisterNode(bad));
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn a_cluster_has_so_many_nodes_and_no_more() {
    let mut metadata = cluster();
    for id in 2..=1024 {
        let address = format!("node-{id}:7400");
        metadata.apply(&Command::RegisterNode(NodeInfo { address, ..node(id) })).unwrap();
    }
    let one_more = NodeInfo { address: "one-more:1".into(), ..node(1025) };
    assert_eq!(
        refused(&mut metadata, &Command::RegisterNode(one_more)),
        Refused::TooManyNodes { id: 1025 }
    );
    let known = NodeInfo { shards: 7, ..node(1) };
    assert_eq!(metadata.apply(&Command::RegisterNode(known)), Ok(Applied::Done));
}

#[test]
fn a_topic_is_created_and_found_by_name_and_id() {
    let mut metadata = cluster();
    let version = metadata.version();
    assert_eq!(metadata.apply(&create("orders", 12, 1)), Ok(Applied::TopicCreated { id: 1 }));
    assert_eq!(metadata.apply(&create("audit", 1, 1)), Ok(Applied::TopicCreated { id: 2 }));
    assert_eq!(metadata.version(), version + 2);
    let topic = metadata.topic_by_name("orders").unwrap();
    assert_eq!((topic.id, &*topic.name, topic.partitions()), (1, "orders", 12));
    assert_eq!(metadata.topic_by_id(1), Some(topic));
    assert_eq!((topic.vnode(11), topic.vnode(12)), (Some(topic.vnodes[11]), None));
    assert_eq!(metadata.partitions_total(), 13);
    let loads: u64 = metadata.vnode_loads().iter().map(|load| load.partitions).sum();
    assert_eq!(loads, 13);
    let names: Vec<&str> = metadata.topics_by_name().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["audit", "orders"]);
}

#[test]
fn topics_that_cannot_be_are_refused() {
    let mut metadata = cluster();
    metadata.apply(&create("orders", 1, 1)).unwrap();
    assert_eq!(
        refused(&mut metadata, &create("orders", 1, 1)),
        Refused::TopicExists { name: "orders".into(), id: 1 }
    );
    assert!(matches!(
        refused(&mut metadata, &create("a/b", 1, 1)),
        Refused::InvalidTopicName { .. }
    ));
    for asked in [0, PARTITIONS_PER_TOPIC_MAX + 1] {
        assert_eq!(
            refused(&mut metadata, &create("t", asked, 1)),
            Refused::InvalidPartitions { asked }
        );
    }
    for asked in [0, 2, u16::MAX] {
        let refused = refused(&mut metadata, &create("t", 1, asked));
        assert_eq!(refused, Refused::InvalidReplicas { asked, nodes: 1 });
        assert!(refused.to_string().contains("use 1 to 1, or add nodes"), "{refused}");
    }
    let settings = TopicSettings { segment_bytes: 1, ..TopicSettings::default() };
    let command = Command::CreateTopic {
        name: "t".into(),
        partitions: 1,
        replicas: 1,
        settings,
        created_ms: 0,
    };
    assert!(matches!(
        refused(&mut metadata, &command),
        Refused::InvalidSetting(SettingError::OutOfBounds { key: "segment_bytes", .. })
    ));
}

#[test]
fn replicas_are_limited_by_the_nodes_that_take_them() {
    let mut metadata = cluster();
    metadata.apply(&Command::RegisterNode(node(2))).unwrap();
    assert!(metadata.apply(&create("two", 1, 2)).is_ok());
    for other in
        [NodeInfo { state: NodeState::Draining, ..node(2) }, NodeInfo { weight: 0, ..node(2) }]
    {
        metadata.apply(&Command::RegisterNode(other)).unwrap();
        assert_eq!(
            refused(&mut metadata, &create("t", 1, 2)),
            Refused::InvalidReplicas { asked: 2, nodes: 1 }
        );
    }
}

#[test]
fn partitions_run_out_and_come_back() {
    let mut metadata = cluster();
    for topic in 0..10 {
        metadata.apply(&create(&format!("t{topic}"), 100_000, 1)).unwrap();
    }
    let refusal = refused(&mut metadata, &create("more", 1, 1));
    assert_eq!(refusal, Refused::TooManyPartitions { asked: 1, total: 1_000_000 });
    metadata.apply(&Command::DeleteTopic { name: "t3".into() }).unwrap();
    assert_eq!(metadata.partitions_total(), 900_000);
    assert_eq!(metadata.apply(&create("more", 1, 1)), Ok(Applied::TopicCreated { id: 11 }));
}

#[test]
fn a_deleted_topic_is_gone_and_its_id_is_never_used_again() {
    let mut metadata = cluster();
    let unknown = Command::DeleteTopic { name: "t".into() };
    assert_eq!(refused(&mut metadata, &unknown), Refused::UnknownTopic { name: "t".into() });
    metadata.apply(&create("t", 3, 1)).unwrap();
    metadata.apply(&unknown).unwrap();
    assert!(metadata.topic_by_name("t").is_none() && metadata.topic_by_id(1).is_none());
    assert!(metadata.vnode_loads().iter().all(|load| load.partitions == 0));
    assert_eq!(metadata.apply(&create("t", 3, 1)), Ok(Applied::TopicCreated { id: 2 }));
}

#[test]
fn altering_a_topic_changes_what_is_named() {
    let mut metadata = cluster();
    metadata.apply(&create("t", 1, 1)).unwrap();
    let version = metadata.version();
    let command = alter("t", &[("retention_ms", "7d"), ("segment_bytes", "64MiB")]);
    assert_eq!(metadata.apply(&command), Ok(Applied::Done));
    let settings = &metadata.topic_by_name("t").unwrap().settings;
    let expected = TopicSettings {
        retention_ms: Some(604_800_000),
        segment_bytes: 64 << 20,
        ..TopicSettings::default()
    };
    assert_eq!((settings, metadata.version()), (&expected, version + 1));
    assert_eq!(metadata.apply(&command), Ok(Applied::Done));
    assert_eq!(metadata.version(), version + 1, "nothing new");
    metadata.apply(&alter("t", &[("retention_ms", "default")])).unwrap();
    assert_eq!(metadata.topic_by_name("t").unwrap().settings.retention_ms, None);

    assert!(matches!(
        refused(&mut metadata, &alter("t", &[("retention_ms", "1d"), ("nonsense", "1")])),
        Refused::InvalidSetting(SettingError::Unknown { .. })
    ));
    assert!(matches!(refused(&mut metadata, &alter("x", &[])), Refused::UnknownTopic { .. }));
    let many = vec![("retention_ms", "1d"); SETTING_PAIRS_MAX + 1];
    assert!(matches!(
        refused(&mut metadata, &alter("t", &many)),
        Refused::InvalidSetting(SettingError::TooMany { .. })
    ));
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut metadata = cluster();
    let ids = |count| Command::AllocateProducerIds { count };
    assert_eq!(metadata.apply(&ids(1)), Ok(Applied::ProducerIds { first: 1, count: 1 }));
    assert_eq!(metadata.apply(&ids(1000)), Ok(Applied::ProducerIds { first: 2, count: 1000 }));
    assert_eq!(metadata.next_producer_id(), 1002);
    for asked in [0, (1 << 20) + 1] {
        assert_eq!(refused(&mut metadata, &ids(asked)), Refused::InvalidProducerIds { asked });
    }
}

#[test]
fn a_clone_keeps_its_version_while_the_original_goes_on() {
    let mut metadata = cluster();
    metadata.apply(&create("t", 5, 1)).unwrap();
    let (snapshot, bytes) = (metadata.clone(), metadata.encode());
    metadata.apply(&Command::DeleteTopic { name: "t".into() }).unwrap();
    assert_eq!(snapshot.encode(), bytes);
    assert!(snapshot.topic_by_name("t").is_some());
}

//! Every limit of the metadata, in one place, related to each other by compile-time assertions.
//!
//! A limit that a user can reach has an error of its own in [`crate::Refused`] that says how to
//! mend it.

/// Highest cluster format this code can serve. It covers everything `apply` decides: the hash, the
/// placement rules and the validation of commands, because replicas that disagree about any of
/// them would part ways.
pub const FORMAT_VERSION: u32 = 1;

/// Topics in a cluster.
pub const TOPICS_MAX: usize = 100_000;
/// Partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 100_000;
/// Partitions of all topics together.
pub const PARTITIONS_TOTAL_MAX: u64 = 1_000_000;
/// Bytes of a topic's name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Nodes in a cluster.
pub const NODES_MAX: usize = 1024;
/// Virtual nodes in a cluster; fixed when it is created.
pub const VNODES_MAX: u32 = 4096;
/// Virtual nodes of a cluster whose creator did not say.
pub const VNODES_DEFAULT: u32 = 64;
/// Replicas of a virtual node, and therefore of a topic.
pub const REPLICAS_MAX: u16 = 15;
/// Weight of an ordinary node: a node of weight 200 takes twice its share.
pub const WEIGHT_DEFAULT: u32 = 100;
/// Heaviest node: ten times an ordinary one. Weight 0 holds no data.
pub const WEIGHT_MAX: u32 = 1000;

/// Bytes of the cluster's id.
pub const CLUSTER_ID_BYTES_MAX: usize = 64;
/// Bytes of a node's advertised `host:port`: the longest host name of DNS, and a port.
pub const ADDRESS_BYTES_MAX: usize = 253 + 6;
/// Bytes of a rack's name.
pub const RACK_BYTES_MAX: usize = 249;
/// Bytes of a node's version string.
pub const NODE_VERSION_BYTES_MAX: usize = 64;

/// Setting pairs in one command.
pub const SETTING_PAIRS_MAX: usize = 64;
/// Bytes of a setting's key.
pub const SETTING_KEY_BYTES_MAX: usize = 64;
/// Bytes of a setting's value.
pub const SETTING_VALUE_BYTES_MAX: usize = 256;

/// Producer ids handed out by one command.
pub const PRODUCER_IDS_PER_COMMAND_MAX: u32 = 1 << 20;

/// Bytes of an encoded command; a longer one is refused before it is read.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an encoded snapshot; a longer one is refused before it is read.
pub const SNAPSHOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One mebibyte.
const MIB: usize = 1024 * 1024;

// A topic alone must fit into what all topics may have.
const _: () = assert!(PARTITIONS_PER_TOPIC_MAX as u64 <= PARTITIONS_TOTAL_MAX);
// Every topic has at least one partition.
const _: () = assert!(TOPICS_MAX as u64 <= PARTITIONS_TOTAL_MAX);
// A snapshot writes a virtual node in two bytes.
const _: () = assert!(VNODES_MAX <= u16::MAX as u32);
const _: () = assert!(VNODES_DEFAULT <= VNODES_MAX);
const _: () = assert!(WEIGHT_DEFAULT <= WEIGHT_MAX);
// The largest command is an alteration with every pair at its longest.
const _: () = assert!(
    SETTING_PAIRS_MAX * (SETTING_KEY_BYTES_MAX + SETTING_VALUE_BYTES_MAX + 4)
        + TOPIC_NAME_BYTES_MAX
        + 64
        <= COMMAND_BYTES_MAX
);
// The largest snapshot: every topic at its longest (256 bytes cover what is not its name), every
// partition, every node.
const _: () = assert!(
    TOPICS_MAX * (TOPIC_NAME_BYTES_MAX + 256)
        + PARTITIONS_TOTAL_MAX as usize * 2
        + NODES_MAX * (ADDRESS_BYTES_MAX + RACK_BYTES_MAX + NODE_VERSION_BYTES_MAX + 64)
        + MIB
        <= SNAPSHOT_BYTES_MAX
);

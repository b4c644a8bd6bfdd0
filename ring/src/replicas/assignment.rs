//! Virtual nodes and the nodes that hold them.

/// Where one virtual node is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VnodeReplicas {
    /// The node that should lead it, one of `nodes`; `None` if that was not decided yet. A target
    /// has a leader for every virtual node that is anywhere.
    pub leader: Option<u64>,
    /// Nodes that hold it.
    pub nodes: Vec<u64>,
}

/// Where every virtual node is: element v is virtual node v.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Assignment {
    /// One for each virtual node.
    pub vnodes: Vec<VnodeReplicas>,
}

impl Assignment {
    /// Replicas each of these nodes holds.
    #[must_use]
    pub fn replicas_of(&self, node: u64) -> u64 {
        self.vnodes.iter().filter(|vnode| vnode.nodes.contains(&node)).count() as u64
    }

    /// Virtual nodes this node leads.
    #[must_use]
    pub fn led_by(&self, node: u64) -> u64 {
        self.vnodes.iter().filter(|vnode| vnode.leader == Some(node)).count() as u64
    }

    /// As many virtual nodes as asked for, each with its nodes ascending and once, and with a
    /// leader that is one of them or none.
    pub(super) fn normalised(&self, vnode_count: u32) -> Assignment {
        let vnodes = (0..vnode_count as usize)
            .map(|vnode| {
                let mut replicas = self.vnodes.get(vnode).cloned().unwrap_or_default();
                replicas.nodes.sort_unstable();
                replicas.nodes.dedup();
                replicas.leader = replicas.leader.filter(|leader| replicas.nodes.contains(leader));
                replicas
            })
            .collect();
        Assignment { vnodes }
    }
}

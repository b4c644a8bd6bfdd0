//! Properties of the placement of replicas, for clusters of all kinds.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringspool_ring::replicas::{
    Assignment, Degraded, Member, Plan, Policy, Reason, Step, Throttle, VnodeReplicas, plan,
};
use ringspool_ring::{NodeState, Slack};

const POLICY: Policy = Policy { replicas: 3, slack: Slack::DEFAULT };

fn node(id: u64) -> Member {
    Member { id, weight: 100, rack: None, state: NodeState::Active }
}

fn nodes(count: u64) -> Vec<Member> {
    (1..=count).map(node).collect()
}

fn on_rack(id: u64, rack: u32) -> Member {
    Member { rack: Some(format!("r{rack}")), ..node(id) }
}

fn fresh(vnodes: u32, members: &[Member], policy: &Policy) -> Assignment {
    plan(&Assignment::default(), vnodes, members, policy).target
}

/// Replicas in `new` on nodes that did not hold them in `old`, by node.
fn arrivals(old: &Assignment, new: &Assignment) -> BTreeMap<u64, usize> {
    let mut arrivals = BTreeMap::new();
    for (old, new) in old.vnodes.iter().zip(&new.vnodes) {
        for node in new.nodes.iter().filter(|node| !old.nodes.contains(node)) {
            *arrivals.entry(*node).or_default() += 1;
        }
    }
    arrivals
}

/// What must be true of every plan, whatever it was made from.
fn check(old: &Assignment, members: &[Member], policy: &Policy, plan: &Plan) {
    let by_id: BTreeMap<u64, &Member> = members.iter().rev().map(|m| (m.id, m)).collect();
    let takes = |id: u64| {
        by_id.get(&id).is_some_and(|m| {
            m.weight > 0 && matches!(m.state, NodeState::Active | NodeState::Joining)
        })
    };
    let taking = by_id.keys().filter(|&&id| takes(id)).count();
    let raised = plan.degraded.iter().any(|d| matches!(d, Degraded::OverBound { .. }));

    for (vnode, held) in plan.target.vnodes.iter().enumerate() {
        let distinct: BTreeSet<u64> = held.nodes.iter().copied().collect();
        assert_eq!(distinct.len(), held.nodes.len(), "vnode {vnode} is twice on a node: {held:?}");
        assert!(held.nodes.len() <= usize::from(policy.replicas.max(1)));
        assert_eq!(held.leader.is_none(), held.nodes.is_empty());
        assert!(held.leader.is_none_or(|leader| held.nodes.contains(&leader)));
        assert!(held.nodes.iter().all(|id| by_id.contains_key(id)), "only on nodes there are");
        let had = old.vnodes.get(vnode).map(|held| held.nodes.clone()).unwrap_or_default();
        let away: BTreeSet<u64> = had
            .iter()
            .copied()
            .filter(|id| by_id.get(id).is_some_and(|m| m.state == NodeState::Maintenance))
            .collect();
        let possible = usize::from(policy.replicas.max(1)).min(taking + away.len());
        assert!(held.nodes.len() >= possible, "vnode {vnode}: {held:?}");
        for id in held.nodes.iter().filter(|id| !takes(**id)) {
            assert!(had.contains(id), "node {id} takes nothing and got vnode {vnode}");
        }
        if held.nodes.iter().any(|&id| takes(id)) {
            assert!(held.leader.is_some_and(takes), "a node in service leads if there is one");
        }
    }
    for (&id, bounds) in &plan.bounds {
        let (replicas, leaders) = (plan.target.replicas_of(id), plan.target.led_by(id));
        assert!(replicas <= bounds.replicas_max, "node {id}: {replicas} over {bounds:?}");
        assert!(leaders <= bounds.leaders_max, "node {id} leads {leaders}, over {bounds:?}");
    }
    let only_in_service = members.iter().all(|m| takes(m.id));
    assert!(!(raised && only_in_service), "bounds hold when everything can move");

    let mut state = normalised(old, plan.target.vnodes.len());
    for step in &plan.moves {
        state.take_step(step);
    }
    assert_eq!(state, plan.target, "the moves lead to the target");
}

fn normalised(old: &Assignment, vnodes: usize) -> Assignment {
    let mut old = old.clone();
    old.vnodes.resize_with(vnodes, VnodeReplicas::default);
    for held in &mut old.vnodes {
        held.nodes.sort_unstable();
        held.nodes.dedup();
        held.leader = held.leader.filter(|leader| held.nodes.contains(leader));
    }
    old
}

fn any_member() -> impl Strategy<Value = Member> {
    let state = prop_oneof![
        6 => Just(NodeState::Active),
        1 => Just(NodeState::Joining),
        1 => Just(NodeState::Draining),
        1 => Just(NodeState::Maintenance),
    ];
    let weight = prop_oneof![4 => Just(100u32), 2 => 1u32..=1000, 1 => Just(0u32)];
    (1u64..20, weight, proptest::option::of(0u32..4), state).prop_map(
        |(id, weight, rack, state)| Member {
            id,
            weight,
            rack: rack.map(|rack| format!("r{rack}")),
            state,
        },
    )
}

fn any_cluster() -> impl Strategy<Value = Vec<Member>> {
    proptest::collection::vec(any_member(), 0..12).prop_map(|mut members| {
        members.sort_by_key(|m| m.id);
        members.dedup_by_key(|m| m.id);
        members
    })
}

/// Nodes in service, of all weights and on all racks.
fn any_service() -> impl Strategy<Value = Vec<Member>> {
    any_cluster().prop_map(|mut members| {
        for member in &mut members {
            member.state = NodeState::Active;
            member.weight = member.weight.max(1);
        }
        members
    })
}

fn any_old() -> impl Strategy<Value = Assignment> {
    let held = (proptest::collection::vec(1u64..20, 0..5), proptest::option::of(1u64..20))
        .prop_map(|(nodes, leader)| VnodeReplicas { leader, nodes });
    proptest::collection::vec(held, 0..40).prop_map(|vnodes| Assignment { vnodes })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_plan_is_sound_from_anywhere(
        old in any_old(), members in any_cluster(), vnodes in 0u32..40, replicas in 0u16..6,
        percent in 0u32..40,
    ) {
        let policy = Policy { replicas, slack: Slack { percent } };
        check(&old, &members, &policy, &plan(&old, vnodes, &members, &policy));
    }

    #[test]
    fn bounds_are_never_raised_while_every_node_is_in_service(
        old in any_old(), members in any_service(), replicas in 1u16..5, percent in 0u32..20,
    ) {
        let policy = Policy { replicas, slack: Slack { percent } };
        let plan = plan(&old, 37, &members, &policy);
        check(&old, &members, &policy, &plan);
        let raised = plan.degraded.iter().any(|d| matches!(d, Degraded::OverBound { .. }));
        prop_assert!(!raised, "bounds were raised");
        let total: u64 = members.iter().map(|m| plan.target.replicas_of(m.id)).sum();
        prop_assert_eq!(total, 37 * u64::from(replicas).min(members.len() as u64));
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_of_its_input(
        old in any_old(), members in any_cluster(), seed in any::<u64>(),
    ) {
        let expected = plan(&old, 24, &members, &POLICY);
        let mut members = members;
        let mut old = old;
        let turn = |length: usize| if length == 0 { 0 } else { seed as usize % length };
        let by = turn(members.len());
        members.rotate_left(by);
        members.reverse();
        for held in &mut old.vnodes {
            let by = turn(held.nodes.len());
            held.nodes.rotate_left(by);
        }
        prop_assert_eq!(plan(&old, 24, &members, &POLICY), expected);
    }

    #[test]
    fn a_plan_from_its_own_target_moves_nothing(
        old in any_old(), members in any_cluster(), percent in 0u32..20,
    ) {
        let policy = Policy { replicas: 3, slack: Slack { percent } };
        let first = plan(&old, 32, &members, &policy);
        let second = plan(&first.target, 32, &members, &policy);
        prop_assert_eq!(&second.moves, &vec![], "from {:?}", first.target);
        prop_assert_eq!(second.target, first.target);
    }

    #[test]
    fn an_interrupted_plan_goes_on_where_it_was(
        count in 3u64..9, leaving in 1u64..9, at in 0usize..200,
    ) {
        let old = fresh(48, &nodes(count), &POLICY);
        let mut members = nodes(count + 1);
        members[(leaving % count) as usize].state = NodeState::Draining;
        let whole = plan(&old, 48, &members, &POLICY);
        let at = at % (whole.moves.len() + 1);
        let mut state = old.clone();
        for step in &whole.moves[..at] {
            state.take_step(step);
        }
        let rest = plan(&state, 48, &members, &POLICY);
        check(&state, &members, &POLICY, &rest);
        let copies = |moves: &[ringspool_ring::replicas::Move]| {
            moves.iter().filter(|step| step.step.receiver().is_some()).count()
        };
        prop_assert!(copies(&rest.moves) <= copies(&whole.moves[at..]));
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nobody_else_gets_anything(
        count in 3u64..40, vnodes in prop_oneof![Just(64u32), Just(256), 1u32..300],
    ) {
        let old = fresh(vnodes, &nodes(count), &POLICY);
        let mut members = nodes(count);
        members.push(Member { state: NodeState::Joining, ..node(count + 1) });
        let plan = plan(&old, vnodes, &members, &POLICY);
        check(&old, &members, &POLICY, &plan);

        let arrivals = arrivals(&old, &plan.target);
        let moved: usize = arrivals.values().sum();
        let to_newcomer = arrivals.get(&(count + 1)).copied().unwrap_or(0);
        prop_assert_eq!(moved, to_newcomer);
        let share = u64::from(vnodes) * 3 / (count + 1);
        prop_assert!(moved as u64 <= share + 1, "{} of a share of {}", moved, share);
        prop_assert!(moved as u64 >= share * 95 / 100, "{} of a share of {}", moved, share);
    }

    #[test]
    fn a_leaving_node_loses_what_it_held_and_nothing_else_moves(
        count in 4u64..40, leaving in 0u64..40, vnodes in prop_oneof![Just(64u32), 1u32..300],
        lost in any::<bool>(),
    ) {
        let old = fresh(vnodes, &nodes(count), &POLICY);
        let leaving = leaving % count + 1;
        let mut members = nodes(count);
        if lost {
            members.retain(|m| m.id != leaving);
        } else {
            members[leaving as usize - 1].state = NodeState::Draining;
        }
        let plan = plan(&old, vnodes, &members, &POLICY);
        check(&old, &members, &POLICY, &plan);
        prop_assert_eq!(plan.target.replicas_of(leaving), 0);
        let moved: usize = arrivals(&old, &plan.target).values().sum();
        prop_assert_eq!(moved as u64, old.replicas_of(leaving));
    }

    #[test]
    fn loads_stay_within_the_slack_of_their_weight(
        weights in proptest::collection::vec(50u32..=200, 8..20), percent in 0u32..30,
    ) {
        let members: Vec<Member> =
            (1..).zip(&weights).map(|(id, &weight)| Member { weight, ..node(id) }).collect();
        let policy = Policy { replicas: 3, slack: Slack { percent } };
        let target = fresh(128, &members, &policy);
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        for member in &members {
            let bound = |load| policy.slack.bound(load, u64::from(member.weight), total);
            let (replicas, leaders) = (target.replicas_of(member.id), target.led_by(member.id));
            // A node of four times the weight of all others cannot occur here: shares go by weight.
            prop_assert!(replicas <= bound(128 * 3).min(128));
            prop_assert!(leaders <= bound(128), "{} leads {}", member.id, leaders);
        }
    }

    #[test]
    fn racks_are_distinct_whenever_there_are_enough(
        racks in proptest::collection::vec(0u32..5, 3..12), old in any_old(),
    ) {
        let members: Vec<Member> = (1..).zip(&racks).map(|(id, &r)| on_rack(id, r)).collect();
        let distinct = racks.iter().collect::<BTreeSet<_>>().len();
        let plan = plan(&old, 30, &members, &POLICY);
        check(&old, &members, &POLICY, &plan);
        let shared = plan.degraded.iter().find(|d| matches!(d, Degraded::SharedRack { .. }));
        prop_assert_eq!(shared.is_some(), distinct < 3, "{:?}", shared);
    }

    #[test]
    fn throttled_moves_keep_their_limits_and_arrive(
        count in 3u64..10, per_node in 1usize..4, total in 1usize..9,
    ) {
        let old = fresh(64, &nodes(count), &POLICY);
        let members = nodes(count + 2);
        let plan = plan(&old, 64, &members, &POLICY);
        let throttle = Throttle { moves_max: total, moves_per_node_max: per_node };
        let (mut left, mut state) = (plan.moves.clone(), old.clone());
        let mut under_way = Vec::new();
        while !left.is_empty() || !under_way.is_empty() {
            let begun = throttle.next(&left, &under_way);
            left.retain(|step| !begun.contains(step));
            under_way.extend(begun);
            prop_assert!(!under_way.is_empty(), "it never comes to a halt");
            prop_assert!(under_way.len() <= total);
            let vnodes: BTreeSet<u32> = under_way.iter().map(|step| step.vnode).collect();
            prop_assert_eq!(vnodes.len(), under_way.len(), "one for each virtual node");
            for id in 1..=count + 2 {
                let busy = under_way.iter().filter(|step| match step.step {
                    Step::Add { node } => node == id,
                    Step::Replace { from, to } => from == id || to == id,
                    Step::Remove { .. } | Step::Lead { .. } => false,
                });
                prop_assert!(busy.count() <= per_node);
            }
            // They end in another order than they began.
            let done = under_way.pop().unwrap();
            state.take_step(&done);
        }
        prop_assert_eq!(state, plan.target);
    }
}

#[test]
fn there_is_an_answer_for_no_node_one_and_too_few() {
    let none = plan(&Assignment::default(), 8, &[], &POLICY);
    assert!(none.target.vnodes.iter().all(|held| held.nodes.is_empty() && held.leader.is_none()));
    assert_eq!(
        none.degraded,
        [Degraded::TooFewReplicas { vnodes: 8, wanted: 3, fewest: 0 }],
        "nothing is placed, and that is said"
    );

    let one = plan(&Assignment::default(), 8, &nodes(1), &POLICY);
    assert_eq!((one.target.replicas_of(1), one.target.led_by(1)), (8, 8));
    assert_eq!(one.degraded, [Degraded::TooFewReplicas { vnodes: 8, wanted: 3, fewest: 1 }]);

    let two = plan(&one.target, 8, &nodes(2), &POLICY);
    assert_eq!((two.target.replicas_of(1), two.target.replicas_of(2)), (8, 8));
    assert_eq!((two.target.led_by(1), two.target.led_by(2)), (4, 4));
    assert_eq!(two.degraded, [Degraded::TooFewReplicas { vnodes: 8, wanted: 3, fewest: 2 }]);
}

#[test]
fn a_fourth_node_moves_less_than_a_third() {
    let old = fresh(64, &nodes(3), &POLICY);
    let plan = plan(&old, 64, &nodes(4), &POLICY);
    let moved: usize = arrivals(&old, &plan.target).values().sum();
    assert_eq!(moved, 45, "of 192 replicas; an even share would be 48");
    assert!(plan.degraded.is_empty());
}

#[test]
fn maintenance_moves_leaders_and_no_data() {
    let old = fresh(64, &nodes(4), &POLICY);
    assert!(old.led_by(2) > 0);
    let mut members = nodes(4);
    members[1].state = NodeState::Maintenance;
    let away = plan(&old, 64, &members, &POLICY);
    assert_eq!(away.target.led_by(2), 0);
    assert!(arrivals(&old, &away.target).is_empty(), "its replicas stay where they are");
    assert!(away.moves.iter().all(|step| matches!(step.step, Step::Lead { .. })));
    let relieved = away.moves.iter().filter(|step| step.reason == Reason::Relieve).count();
    assert_eq!(relieved as u64, old.led_by(2));
    assert_eq!(away.moves[0].reason, Reason::Relieve, "the urgent ones come first");

    let back = plan(&away.target, 64, &nodes(4), &POLICY);
    assert!(back.target.led_by(2) >= 14, "it leads its share of 16 again, but for the slack");
    assert!(back.moves.iter().all(|step| matches!(step.step, Step::Lead { .. })));
}

#[test]
fn a_node_that_nobody_can_replace_keeps_its_replicas() {
    let old = fresh(16, &nodes(3), &POLICY);
    let mut members = nodes(3);
    members[2].state = NodeState::Draining;
    let stuck = plan(&old, 16, &members, &POLICY);
    assert_eq!(stuck.target.replicas_of(3), 16, "the third copy is not given up");
    assert_eq!(stuck.target.led_by(3), 0, "but others lead");
    assert_eq!(stuck.degraded, [Degraded::CannotLeave { node: 3, vnodes: 16 }]);

    members.push(node(4));
    let free = plan(&stuck.target, 16, &members, &POLICY);
    assert_eq!((free.target.replicas_of(3), free.target.replicas_of(4)), (0, 16));
    assert!(free.degraded.is_empty());
    assert!(free.moves.iter().any(|step| step.reason == Reason::Drain));
}

#[test]
fn lost_replicas_are_repaired_before_others_are_moved() {
    let old = fresh(64, &nodes(5), &POLICY);
    let mut members = nodes(6);
    members.remove(1);
    members[0].state = NodeState::Draining;
    let plan = plan(&old, 64, &members, &POLICY);
    let reasons: Vec<Reason> = plan.moves.iter().map(|step| step.reason).collect();
    assert!(reasons.is_sorted(), "{reasons:?}");
    let repaired = reasons.iter().filter(|reason| **reason == Reason::Repair).count();
    assert_eq!(repaired as u64, old.replicas_of(2));
    let receivers: BTreeSet<u64> = plan
        .moves
        .iter()
        .filter(|step| step.reason == Reason::Repair)
        .take(4)
        .filter_map(|step| step.step.receiver())
        .collect();
    assert_eq!(receivers.len(), 4, "the first repairs go to different nodes");
}

#[test]
fn two_racks_for_three_replicas_are_used_as_well_as_they_go_and_reported() {
    let members: Vec<Member> = (1..=6).map(|id| on_rack(id, id as u32 % 2)).collect();
    let plan = plan(&Assignment::default(), 32, &members, &POLICY);
    assert_eq!(plan.degraded, [Degraded::SharedRack { vnodes: 32, most: 2, racks: 2 }]);
    for held in &plan.target.vnodes {
        let odd = held.nodes.iter().filter(|id| **id % 2 == 1).count();
        assert!((1..=2).contains(&odd), "both racks are used: {held:?}");
    }
    assert!(plan.degraded[0].to_string().contains("add nodes on other racks"));
}

#[test]
fn a_rack_is_taken_by_a_node_in_maintenance_too() {
    let away = Member { state: NodeState::Maintenance, ..on_rack(1, 0) };
    let members = [away, on_rack(2, 1), on_rack(3, 1), on_rack(4, 0)];
    let held = VnodeReplicas { leader: None, nodes: vec![1] };
    let old = Assignment { vnodes: vec![held; 16] };
    let two = plan(&old, 16, &members, &Policy { replicas: 2, ..POLICY });
    assert_eq!(two.target.replicas_of(1), 16);
    assert_eq!(two.target.replicas_of(4), 0, "its rack has a replica already");
    assert!(two.degraded.is_empty(), "{:?}", two.degraded);

    let three = plan(&old, 16, &members[..2], &POLICY);
    assert_eq!(three.degraded, [Degraded::TooFewReplicas { vnodes: 16, wanted: 3, fewest: 2 }]);
    let three = plan(&old, 16, &[&members[..2], &members[3..]].concat(), &POLICY);
    assert_eq!(three.degraded, [Degraded::SharedRack { vnodes: 16, most: 2, racks: 2 }]);
    assert!(three.target.vnodes.iter().all(|held| held.nodes == [1, 2, 4]));
}

#[test]
fn a_rack_is_shared_only_after_every_rack_is_used() {
    let members: Vec<Member> = (1..=6).map(|id| on_rack(id, id as u32 % 3)).collect();
    let policy = Policy { replicas: 4, ..POLICY };
    for held in fresh(64, &members, &policy).vnodes {
        let racks: BTreeSet<u64> = held.nodes.iter().map(|id| id % 3).collect();
        assert_eq!(racks.len(), 3, "{held:?}");
    }
}

#[test]
fn leaders_that_may_stay_stay() {
    let lead = |vnode: u64| VnodeReplicas { leader: Some(vnode % 3 + 1), nodes: vec![1, 2, 3] };
    let old = Assignment { vnodes: (0..30).map(lead).collect() };
    assert_eq!(plan(&old, 30, &nodes(3), &POLICY).moves, []);
    let four = plan(&old, 30, &nodes(4), &POLICY).target;
    assert!(four.led_by(4) >= 7);
    for (old, new) in old.vnodes.iter().zip(&four.vnodes) {
        let left = old.leader.is_some_and(|leader| !new.nodes.contains(&leader));
        assert!(left || new.leader == old.leader || new.leader == Some(4), "{old:?} {new:?}");
    }
}

#[test]
fn fewer_replicas_are_trimmed_last_and_more_are_added() {
    let three = fresh(64, &nodes(5), &POLICY);
    let two = plan(&three, 64, &nodes(5), &Policy { replicas: 2, ..POLICY });
    assert!(two.target.vnodes.iter().all(|held| held.nodes.len() == 2));
    let removed = two.moves.iter().filter(|step| matches!(step.step, Step::Remove { .. })).count();
    assert_eq!(removed, 64);
    assert!(two.target.vnodes.iter().zip(&three.vnodes).all(|(new, old)| {
        old.leader.is_none_or(|leader| !old.nodes.contains(&leader)) || new.leader.is_some()
    }));
    let again = plan(&two.target, 64, &nodes(5), &POLICY);
    assert_eq!(arrivals(&two.target, &again.target).values().sum::<usize>(), 64);
}

//! A chain of moves that ends in a bin with room: an augmenting path.
//!
//! Items, (item, group) pairs and bins are a flow network: an item sends as many units as it needs,
//! at most its limit through each group and at most one into each bin, and a bin lets through its
//! bound. A flow that is not yet the largest has an augmenting path, so whatever the bounds allow
//! at all is found. Shares are such a flow in fractions, hence bounds that are rounded up from
//! them always allow one in whole numbers.

use std::collections::{BTreeMap, VecDeque};

use super::spread::Spread;

/// What needs room.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// An item that lacks a bin.
    Item(usize),
    /// A bin that holds too much.
    Bin(usize),
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Place {
    Item(usize),
    /// An item in a group.
    Pair(usize, usize),
    Bin(usize),
}

/// Makes room by the shortest chain of moves there is. Gives whether there is one.
pub(super) fn augment(spread: &mut Spread, start: Start) -> bool {
    let start = match start {
        Start::Item(item) => Place::Item(item),
        Start::Bin(bin) => Place::Bin(bin),
    };
    // Where each place was reached from.
    let mut reached: BTreeMap<Place, Place> = BTreeMap::from([(start, start)]);
    let mut queue = VecDeque::from([start]);
    while let Some(place) = queue.pop_front() {
        if let Place::Bin(bin) = place
            && spread.load(bin) < spread.cap(bin)
        {
            follow(spread, &reached, place);
            return true;
        }
        for next in neighbours(spread, place) {
            reached.entry(next).or_insert_with(|| {
                queue.push_back(next);
                place
            });
        }
    }
    false
}

/// Where a unit of flow can go on, or be taken back from.
fn neighbours(spread: &Spread, place: Place) -> Vec<Place> {
    match place {
        Place::Item(item) => {
            spread.open_groups(item).map(|group| Place::Pair(item, group)).collect()
        }
        Place::Pair(item, group) => {
            let mut next: Vec<Place> = spread.new_bins(item, group).map(Place::Bin).collect();
            if spread.bins_of_item(item).any(|bin| spread.group(bin) == group) {
                next.push(Place::Item(item));
            }
            next
        }
        Place::Bin(bin) => {
            let group = spread.group(bin);
            spread.items_of_bin(bin).map(|item| Place::Pair(item, group)).collect()
        }
    }
}

/// Makes the moves of the chain that ends here.
fn follow(spread: &mut Spread, reached: &BTreeMap<Place, Place>, end: Place) {
    let mut place = end;
    while reached[&place] != place {
        let before = reached[&place];
        match (before, place) {
            (Place::Pair(item, _), Place::Bin(bin)) => spread.put(item, bin),
            (Place::Bin(bin), Place::Pair(item, _)) => spread.take(item, bin),
            _ => {}
        }
        place = before;
    }
}

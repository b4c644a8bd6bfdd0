//! A map that forgets what was not used for longest when its entries weigh too much together.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Least-recently-used cache with a weight for each entry.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    weight_max: u64,
    weight: u64,
    entries: HashMap<K, Entry<V>>,
    /// Keys by when they were used last.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    used: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Lru<K, V> {
    pub(super) fn new(weight_max: u64) -> Self {
        let (entries, by_use) = (HashMap::new(), BTreeMap::new());
        Self { weight_max, weight: 0, entries, by_use, uses: 0 }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.uses += 1;
        entry.used = self.uses;
        self.by_use.insert(self.uses, key.clone());
        Some(entry.value.clone())
    }

    /// Takes a value in, in place of an older one, and lets others go for it. The newest stays even
    /// if it alone is too heavy.
    pub(super) fn insert(&mut self, key: K, value: V, weight: u64) {
        self.remove(&key);
        self.uses += 1;
        self.weight += weight;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, weight, used: self.uses });
        while self.weight > self.weight_max && self.entries.len() > 1 {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                unreachable!("every entry was used once")
            };
            self.remove(&oldest.clone());
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
            self.by_use.remove(&entry.used);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::Lru;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new(3);
        for key in 1..=3 {
            lru.insert(key, key * 10, 1);
        }
        assert_eq!(lru.get(&1), Some(10));
        lru.insert(4, 40, 1);
        assert_eq!((lru.get(&2), lru.get(&1), lru.get(&4)), (None, Some(10), Some(40)));
        assert_eq!((lru.len(), lru.weight()), (3, 3));
    }

    #[test]
    fn weights_count_and_the_newest_stays() {
        let mut lru = Lru::new(10);
        lru.insert('a', (), 4);
        lru.insert('b', (), 4);
        lru.insert('b', (), 6);
        assert_eq!((lru.len(), lru.weight()), (2, 10));
        lru.insert('c', (), 100);
        assert_eq!((lru.len(), lru.weight()), (1, 100));
        lru.remove(&'c');
        lru.remove(&'c');
        assert_eq!((lru.len(), lru.weight(), lru.get(&'c')), (0, 0, None));
    }
}

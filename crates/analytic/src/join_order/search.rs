//! The cheapest order of a set of joins, by numbers alone.
//!
//! Each relation and each reducer (the inner side of a semi or anti join) is a bit. A set of bits has one number of rows whatever the
//! order, so the best plan of a set is the best of its splits in two (dynamic programming over sets); a reducer is always applied to
//! the rest of its set, and only where the relations it looks at are in it. With more than [`EXACT_MAX`] bits the joins are chosen
//! greedily, the one with the smallest result first.
//!
//! Source: Moerkotte and Neumann, "Analysis of two existing and one new dynamic programming algorithm", VLDB 2006 (subset driven
//! variant); Fegaras, "A new heuristic for optimizing large queries", DEXA 1998 (greedy).

/// Bits up to which all orders are looked at: 3^10 splits, a millisecond.
const EXACT_MAX: usize = 10;
/// Bits a problem may have.
pub(super) const BITS_MAX: usize = 60;

/// What a row costs, in nanoseconds or so: put in a hash table, ..
const BUILD: f64 = 25.0;
/// .. and when the table does not fit the processor's cache;
const BUILD_LARGE: f64 = 60.0;
/// looked up, ..
const PROBE: f64 = 8.0;
/// .. and in a table that does not fit;
const PROBE_LARGE: f64 = 25.0;
/// written as a result.
const OUTPUT: f64 = 10.0;
/// A pair of rows compared where nothing is equal.
const PAIR: f64 = 1.5;
/// Rows of a table that fits the cache.
const CACHE_ROWS: f64 = 60_000.0;

/// A set of relations and reducers.
pub(super) type Bits = u64;

/// Values that are equal in all of them: per relation that has one, how many different ones there are.
pub(super) struct Class {
    pub(super) members: Vec<(usize, f64)>,
}

/// A condition over several relations that is not part of a class, or a correction for classes that belong together.
pub(super) struct Edge {
    pub(super) relations: Bits,
    /// The share of row combinations it keeps; over 1 for a correction.
    pub(super) share: f64,
    /// It makes a hash join possible between the relations of these two sets.
    pub(super) sides: Option<(Bits, Bits)>,
}

/// The inner side of a semi or anti join.
pub(super) struct Reducer {
    /// Relations its condition looks at.
    pub(super) needs: Bits,
    pub(super) rows: f64,
    /// The share of rows it keeps.
    pub(super) share: f64,
    /// Its join may be turned round, so that its own rows are the hash table.
    pub(super) turns: bool,
}

/// All the numbers.
#[derive(Default)]
pub(super) struct Problem {
    /// Rows of each relation.
    pub(super) relations: Vec<f64>,
    pub(super) classes: Vec<Class>,
    pub(super) edges: Vec<Edge>,
    pub(super) reducers: Vec<Reducer>,
}

/// An order. The left input of a join is the one put in a hash table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Relation(usize),
    Join(Box<Tree>, Box<Tree>),
    Reduce { input: Box<Tree>, reducer: usize, build: Build },
}

/// Which rows of a semi or anti join are the hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Input,
    Reducer,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Relation(usize),
    Join(Bits, Bits),
    Reduce(Bits, usize, Build),
}

#[derive(Clone, Copy, Debug)]
struct Best {
    cost: f64,
    rows: f64,
    step: Step,
}

impl Problem {
    fn bits(&self) -> usize {
        self.relations.len() + self.reducers.len()
    }

    fn all_relations(&self) -> Bits {
        (1 << self.relations.len()) - 1
    }

    /// Relations and reducers, each once, in a cheap order; `None` if there are none or more than [`BITS_MAX`].
    pub(super) fn solve(&self) -> Option<Tree> {
        if self.relations.is_empty() || self.bits() > BITS_MAX {
            return None;
        }
        if self.bits() <= EXACT_MAX { self.exact() } else { self.greedy() }
    }

    /// The rows of the join of a set.
    fn rows(&self, set: Bits) -> f64 {
        let mut rows: f64 = members(set & self.all_relations()).map(|at| self.relations[at]).product();
        for class in &self.classes {
            let (mut product, mut least, mut count) = (1.0, f64::INFINITY, 0);
            for (_, distinct) in class.members.iter().filter(|(at, _)| set & (1 << at) != 0) {
                product *= distinct;
                least = least.min(*distinct);
                count += 1;
            }
            if count > 1 {
                rows *= least / product;
            }
        }
        for edge in self.edges.iter().filter(|edge| edge.relations & !set == 0) {
            rows *= edge.share;
        }
        for (at, reducer) in self.reducers.iter().enumerate() {
            if set & self.reducer_bit(at) != 0 {
                rows *= reducer.share;
            }
        }
        rows.max(1e-3)
    }

    fn reducer_bit(&self, at: usize) -> Bits {
        1 << (self.relations.len() + at)
    }

    /// Whether equal values link the two sets.
    fn linked(&self, a: Bits, b: Bits) -> bool {
        let by_class = |class: &Class| {
            class.members.iter().any(|(at, _)| a & (1 << at) != 0) && class.members.iter().any(|(at, _)| b & (1 << at) != 0)
        };
        let by_edge = |edge: &Edge| edge.sides.is_some_and(|(x, y)| (x & !a == 0 && y & !b == 0) || (x & !b == 0 && y & !a == 0));
        self.classes.iter().any(by_class) || self.edges.iter().any(by_edge)
    }

    fn join(&self, (a, left): (Bits, Best), (b, right): (Bits, Best), rows: f64) -> Best {
        let (build, probe, step) = if left.rows <= right.rows {
            (left.rows, right.rows, Step::Join(a, b))
        } else {
            (right.rows, left.rows, Step::Join(b, a))
        };
        let own = if self.linked(a, b) { hashed(build, probe) + rows * OUTPUT } else { build * probe * PAIR + rows * OUTPUT };
        Best { cost: left.cost + right.cost + own, rows, step }
    }

    fn reduce(&self, set: Bits, input: Best, at: usize, rows: f64) -> Best {
        let reducer = &self.reducers[at];
        let (of_input, of_reducer) = (hashed(input.rows, reducer.rows), hashed(reducer.rows, input.rows));
        let (own, build) =
            if reducer.turns && of_reducer < of_input { (of_reducer, Build::Reducer) } else { (of_input, Build::Input) };
        Best { cost: input.cost + own + rows * OUTPUT, rows, step: Step::Reduce(set, at, build) }
    }

    fn exact(&self) -> Option<Tree> {
        let full: Bits = (1 << self.bits()) - 1;
        let mut table: Vec<Option<Best>> = vec![None; full as usize + 1];
        for (at, rows) in self.relations.iter().enumerate() {
            table[1 << at] = Some(Best { cost: 0.0, rows: *rows, step: Step::Relation(at) });
        }
        let parts = self.parts();
        for set in 1..=full {
            if set & self.all_relations() == 0 || (set.count_ones() == 1) {
                continue;
            }
            let rows = self.rows(set);
            let mut best: Option<Best> = None;
            let mut offer = |found: Best| {
                if best.is_none_or(|known| found.cost < known.cost) {
                    best = Some(found);
                }
            };
            for (at, reducer) in self.reducers.iter().enumerate() {
                let bit = self.reducer_bit(at);
                let rest = set & !bit;
                if set & bit != 0
                    && reducer.needs & !rest == 0
                    && let Some(input) = table[rest as usize]
                {
                    offer(self.reduce(rest, input, at, rows));
                }
            }
            // Each split once: the lowest bit is always on the first side.
            let lowest = set & set.wrapping_neg();
            let mut a = (set - 1) & set;
            while a != 0 {
                let b = set & !a;
                if a & lowest != 0
                    && let (Some(left), Some(right)) = (table[a as usize], table[b as usize])
                    && (self.linked(a, b) || may_cross(&parts, a, b))
                {
                    offer(self.join((a, left), (b, right), rows));
                }
                a = (a - 1) & set;
            }
            table[set as usize] = best;
        }
        table[full as usize]?;
        Some(tree(&|set| table[set as usize], full))
    }

    /// The sets of relations that no condition links to others.
    fn parts(&self) -> Vec<Bits> {
        let mut parts: Vec<Bits> = (0..self.relations.len()).map(|at| 1 << at).collect();
        let mut merge = |set: Bits| {
            let (inside, mut outside): (Vec<Bits>, Vec<Bits>) = parts.iter().partition(|part| **part & set != 0);
            if let Some(all) = inside.into_iter().reduce(|a, b| a | b) {
                outside.push(all);
            }
            parts = outside;
        };
        for class in &self.classes {
            merge(class.members.iter().fold(0, |set, (at, _)| set | 1 << at));
        }
        for (a, b) in self.edges.iter().filter_map(|edge| edge.sides) {
            merge(a | b);
        }
        parts
    }

    fn greedy(&self) -> Option<Tree> {
        let parts = self.parts();
        let mut steps: Vec<(Bits, Best)> = Vec::new();
        let mut open: Vec<(Bits, Best)> = self
            .relations
            .iter()
            .enumerate()
            .map(|(at, rows)| (1 << at, Best { cost: 0.0, rows: *rows, step: Step::Relation(at) }))
            .collect();
        let mut reducers: Vec<usize> = (0..self.reducers.len()).collect();
        loop {
            steps.extend_from_slice(&open);
            // What a reducer drops need not be joined: each is applied as soon as it can be.
            if let Some((at, place, reducer)) = open.iter().enumerate().find_map(|(at, (set, _))| {
                let place = reducers.iter().position(|r| self.reducers[*r].needs & !set == 0)?;
                Some((at, place, reducers[place]))
            }) {
                reducers.swap_remove(place);
                let (set, input) = open[at];
                let after = set | self.reducer_bit(reducer);
                open[at] = (after, self.reduce(set, input, reducer, self.rows(after)));
                continue;
            }
            if open.len() < 2 {
                break;
            }
            let mut best: Option<(usize, usize, Best)> = None;
            for pass in [true, false] {
                for a in 0..open.len() {
                    for b in a + 1..open.len() {
                        let (left, right) = (open[a].0, open[b].0);
                        let fits = self.linked(left, right) || (!pass && may_cross(&parts, left, right));
                        if !fits {
                            continue;
                        }
                        let found = self.join(open[a], open[b], self.rows(left | right));
                        if best.is_none_or(|(.., known)| (found.rows, found.cost) < (known.rows, known.cost)) {
                            best = Some((a, b, found));
                        }
                    }
                }
                if best.is_some() {
                    break;
                }
            }
            let (a, b, found) = best?;
            let set = open[a].0 | open[b].0;
            open.swap_remove(b);
            open[a] = (set, found);
        }
        let (full, _) = *open.first()?;
        if !reducers.is_empty() {
            return None;
        }
        Some(tree(&|set| steps.iter().rev().find(|(known, _)| *known == set).map(|(_, best)| *best), full))
    }
}

/// Sets are paired with nothing in common only when each is everything it is linked to.
fn may_cross(parts: &[Bits], a: Bits, b: Bits) -> bool {
    let whole = |set: Bits| parts.iter().all(|part| part & set == 0 || part & !set == 0);
    whole(a) && whole(b)
}

fn hashed(build: f64, probe: f64) -> f64 {
    let large = build > CACHE_ROWS;
    build * if large { BUILD_LARGE } else { BUILD } + probe * if large { PROBE_LARGE } else { PROBE }
}

fn members(set: Bits) -> impl Iterator<Item = usize> {
    (0..BITS_MAX).filter(move |at| set & (1 << at) != 0)
}

fn tree(found: &dyn Fn(Bits) -> Option<Best>, set: Bits) -> Tree {
    match found(set).map(|best| best.step).expect("each step's inputs were found before it") {
        Step::Relation(at) => Tree::Relation(at),
        Step::Join(a, b) => Tree::Join(Box::new(tree(found, a)), Box::new(tree(found, b))),
        Step::Reduce(input, reducer, build) => Tree::Reduce { input: Box::new(tree(found, input)), reducer, build },
    }
}

//! The queries with other parameters than those that answers are known for.
//!
//! Source: TPC-H specification 3.0, the "Substitution Parameters" of each query in section 2.4.

use std::collections::BTreeSet;

use rand::Rng;
use rand::seq::IndexedRandom;
use tpchgen::distribution::{Distribution, Distributions};

use crate::queries::Query;

/// The nations' numbers in their order, by region: who belongs to which, as in the generated tables.
const REGION_OF_NATION: [usize; 25] = [0, 1, 1, 1, 4, 0, 3, 3, 2, 2, 4, 4, 2, 4, 0, 0, 0, 1, 2, 3, 4, 2, 3, 3, 1];

impl Query {
    /// Its text with parameters by chance, for tables of a scale factor.
    pub fn substituted(&self, scale: f64, random: &mut impl Rng) -> String {
        // The first line tells the parameters that are replaced.
        let statement = self.text.split_once('\n').map_or(self.text, |(_, statement)| statement);
        format!("-- Q{}\n{}", self.number, replaced(statement, &parameters(self.number, scale, random)))
    }
}

/// What stands in a query's text, and what is to stand there.
type Parameters = Vec<(&'static str, String)>;

fn parameters(query: usize, scale: f64, random: &mut impl Rng) -> Parameters {
    let lists = Distributions::static_default();
    let (nations, regions) = (lists.nations().get_values(), lists.regions().get_values());
    let quoted = |text: &str| format!("'{text}'");
    match query {
        1 => vec![("'90'", quoted(&random.random_range(60..=120).to_string()))],
        2 => vec![
            ("p_size = 15", format!("p_size = {}", random.random_range(1..=50))),
            ("BRASS", syllable(lists, 2, random)),
            ("'EUROPE'", quoted(one(regions, random))),
        ],
        3 => vec![
            ("'BUILDING'", quoted(one(lists.market_segments().get_values(), random))),
            ("'1995-03-15'", format!("'1995-03-{:02}'", random.random_range(1..=31))),
        ],
        4 => vec![("'1993-07-01'", month(1993, 0..58, random))],
        5 => vec![("'ASIA'", quoted(one(regions, random))), ("'1994-01-01'", year(random))],
        6 => vec![
            ("'1994-01-01'", year(random)),
            ("0.06", format!("0.0{}", random.random_range(2..=9))),
            ("l_quantity < 24", format!("l_quantity < {}", random.random_range(24..=25))),
        ],
        7 => {
            let two: Vec<_> = nations.choose_multiple(random, 2).collect();
            vec![("'FRANCE'", quoted(two[0])), ("'GERMANY'", quoted(two[1]))]
        }
        8 => {
            let nation = random.random_range(0..nations.len());
            vec![
                ("'BRAZIL'", quoted(nations[nation])),
                ("'AMERICA'", quoted(regions[REGION_OF_NATION[nation]])),
                ("'ECONOMY ANODIZED STEEL'", quoted(one(lists.part_types().get_values(), random))),
            ]
        }
        9 => vec![("green", one(lists.part_colors().get_values(), random).to_owned())],
        10 => vec![("'1993-10-01'", month(1993, 1..25, random))],
        11 => vec![("'GERMANY'", quoted(one(nations, random))), ("0.0001", format!("{:.10}", 0.0001 / scale))],
        12 => {
            let two: Vec<_> = lists.ship_modes().get_values().choose_multiple(random, 2).collect();
            vec![("'MAIL'", quoted(two[0])), ("'SHIP'", quoted(two[1])), ("'1994-01-01'", year(random))]
        }
        13 => vec![
            ("special", one(&["special", "pending", "unusual", "express"], random).to_owned()),
            ("requests", one(&["packages", "requests", "accounts", "deposits"], random).to_owned()),
        ],
        14 => vec![("'1995-09-01'", month(1993, 0..60, random))],
        15 => vec![("'1996-01-01'", month(1993, 0..58, random))],
        16 => {
            let mut sizes = BTreeSet::new();
            while sizes.len() < 8 {
                sizes.insert(random.random_range(1..=50));
            }
            let sizes = sizes.iter().map(|size: &i32| size.to_string()).collect::<Vec<_>>().join(", ");
            let kind = [syllable(lists, 0, random), syllable(lists, 1, random)].join(" ");
            vec![("Brand#45", brand(random)), ("MEDIUM POLISHED", kind), ("49, 14, 23, 45, 19, 3, 36, 9", sizes)]
        }
        17 => vec![("Brand#23", brand(random)), ("'MED BOX'", quoted(one(lists.part_containers().get_values(), random)))],
        18 => vec![("> 300", format!("> {}", random.random_range(312..=315)))],
        19 => vec![
            ("Brand#12", brand(random)),
            ("Brand#23", brand(random)),
            ("Brand#34", brand(random)),
            ("l_quantity >= 1 and l_quantity <= 1 + 10", between(random.random_range(1..=10))),
            ("l_quantity >= 10 and l_quantity <= 10 + 10", between(random.random_range(10..=20))),
            ("l_quantity >= 20 and l_quantity <= 20 + 10", between(random.random_range(20..=30))),
        ],
        20 => vec![
            ("forest", one(lists.part_colors().get_values(), random).to_owned()),
            ("'1994-01-01'", year(random)),
            ("'CANADA'", quoted(one(nations, random))),
        ],
        21 => vec![("'SAUDI ARABIA'", quoted(one(nations, random)))],
        22 => {
            let mut codes = BTreeSet::new();
            while codes.len() < 7 {
                codes.insert(random.random_range(10..=34));
            }
            let codes = codes.iter().map(|code: &i32| quoted(&code.to_string())).collect::<Vec<_>>().join(", ");
            vec![("'13', '31', '23', '29', '30', '18', '17'", codes)]
        }
        _ => vec![],
    }
}

/// The text with each of those that stand in it replaced, none of what was put there again.
fn replaced(text: &str, parameters: &Parameters) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        let found = parameters.iter().filter_map(|(old, new)| Some((rest.find(old)?, old, new))).min_by_key(|(at, ..)| *at);
        let Some((at, old, new)) = found else { return out + rest };
        out.push_str(&rest[..at]);
        out.push_str(new);
        rest = &rest[at + old.len()..];
    }
}

fn one<'a>(values: &[&'a str], random: &mut impl Rng) -> &'a str {
    values.choose(random).copied().unwrap_or_default()
}

/// The `at`th word of a part's type.
fn syllable(lists: &Distributions, at: usize, random: &mut impl Rng) -> String {
    let types: &Distribution = lists.part_types();
    let words: BTreeSet<&str> = types.get_values().iter().filter_map(|kind| kind.split(' ').nth(at)).collect();
    one(&words.into_iter().collect::<Vec<_>>(), random).to_owned()
}

fn brand(random: &mut impl Rng) -> String {
    format!("Brand#{}{}", random.random_range(1..=5), random.random_range(1..=5))
}

fn between(quantity: i32) -> String {
    format!("l_quantity >= {quantity} and l_quantity <= {quantity} + 10")
}

/// The first of January of 1993 to 1997.
fn year(random: &mut impl Rng) -> String {
    format!("'{}-01-01'", random.random_range(1993..=1997))
}

/// The first day of one of the months, counted from January of `from`.
fn month(from: i32, months: std::ops::Range<i32>, random: &mut impl Rng) -> String {
    let month = random.random_range(months);
    format!("'{}-{:02}-01'", from + month / 12, month % 12 + 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::queries::QUERIES;

    #[test]
    fn every_parameter_is_found_in_its_query() {
        let mut random = StdRng::seed_from_u64(1);
        for query in QUERIES {
            let parameters = parameters(query.number, 1.0, &mut random);
            assert!(!parameters.is_empty(), "Q{}", query.number);
            for (old, _) in &parameters {
                assert!(query.text.contains(old), "Q{} has no {old}", query.number);
            }
            let all: Vec<_> = (0..20).map(|_| query.substituted(1.0, &mut random)).collect();
            assert!(all.iter().any(|text| text != query.text), "Q{}", query.number);
        }
    }

    #[test]
    fn what_was_put_in_is_not_replaced_again() {
        let both = vec![("'FRANCE'", "'GERMANY'".to_owned()), ("'GERMANY'", "'FRANCE'".to_owned())];
        assert_eq!(replaced("'FRANCE' 'GERMANY' or", &both), "'GERMANY' 'FRANCE' or");
    }
}

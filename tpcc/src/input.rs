//! What a terminal asks for: which transaction next, and its input.
//!
//! ```text
//!   deck of 23 cards, shuffled: 10 New-Order, 10 Payment, 1 Order-Status, 1 Delivery, 1 Stock-Level     dealt to the end, shuffled again
//! ```
//!
//! Source: TPC-C 5.11, clauses 2.4.1, 2.5.1, 2.6.1, 2.7.1, 2.8.1, and 5.2.4.2 for the deck.

use std::time::Duration;

use serde::Serialize;

use crate::random::{Random, last_name_of};
use crate::schema::{DISTRICTS, ITEMS};

/// The five transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    NewOrder,
    Payment,
    OrderStatus,
    Delivery,
    StockLevel,
}

impl Kind {
    /// All of them, in the specification's order.
    pub(crate) const ALL: [Kind; 5] = [Kind::NewOrder, Kind::Payment, Kind::OrderStatus, Kind::Delivery, Kind::StockLevel];

    /// The specification's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::NewOrder => "New-Order",
            Kind::Payment => "Payment",
            Kind::OrderStatus => "Order-Status",
            Kind::Delivery => "Delivery",
            Kind::StockLevel => "Stock-Level",
        }
    }

    fn cards(self) -> usize {
        match self {
            Kind::NewOrder | Kind::Payment => 10,
            Kind::OrderStatus | Kind::Delivery | Kind::StockLevel => 1,
        }
    }

    /// How long the keys take to press, and the mean time to think afterwards (clause 5.2.5.7).
    fn seconds(self) -> (f64, f64) {
        match self {
            Kind::NewOrder => (18.0, 12.0),
            Kind::Payment => (3.0, 12.0),
            Kind::OrderStatus => (2.0, 10.0),
            Kind::Delivery => (2.0, 5.0),
            Kind::StockLevel => (2.0, 5.0),
        }
    }

    /// The keying time.
    pub(crate) fn keying(self) -> Duration {
        Duration::from_secs_f64(self.seconds().0)
    }

    /// A think time: exponentially distributed, at most ten times its mean.
    pub(crate) fn think(self, random: &mut Random) -> Duration {
        let mean = self.seconds().1;
        Duration::from_secs_f64((-random.unit().ln() * mean).min(10.0 * mean))
    }
}

/// Transactions in the order a terminal runs them.
#[derive(Default)]
pub(crate) struct Deck {
    cards: Vec<Kind>,
}

impl Deck {
    /// The next one.
    pub(crate) fn draw(&mut self, random: &mut Random) -> Kind {
        if self.cards.is_empty() {
            self.cards = Kind::ALL.iter().flat_map(|&kind| std::iter::repeat_n(kind, kind.cards())).collect();
            random.shuffle(&mut self.cards);
        }
        self.cards.pop().expect("a deck that was empty has just been filled")
    }
}

/// Where a terminal stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    pub(crate) warehouse: u32,
    /// The district of its Stock-Level transactions.
    pub(crate) district: u32,
    /// How many warehouses there are.
    pub(crate) warehouses: u32,
}

impl Home {
    /// Of a terminal, numbered from 0: warehouses in turn, then districts.
    pub(crate) fn of(terminal: u32, warehouses: u32) -> Home {
        Home { warehouse: terminal % warehouses + 1, district: terminal / warehouses % DISTRICTS + 1, warehouses }
    }

    fn another_warehouse(self, random: &mut Random) -> u32 {
        let other = random.uniform(1, self.warehouses - 1);
        if other < self.warehouse { other } else { other + 1 }
    }
}

/// How a customer is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Customer {
    Id(u32),
    LastName(String),
}

impl Customer {
    /// By last name in 60 of 100 cases.
    fn draw(random: &mut Random) -> Customer {
        if random.percent(60) { Customer::LastName(last_name_of(random.last_name())) } else { Customer::Id(random.customer()) }
    }
}

/// A line of a new order.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) item: u32,
    pub(crate) supplier: u32,
    pub(crate) quantity: u32,
}

/// The input of New-Order.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub(crate) warehouse: u32,
    pub(crate) district: u32,
    pub(crate) customer: u32,
    pub(crate) lines: Vec<Line>,
}

/// The input of Payment.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) warehouse: u32,
    pub(crate) district: u32,
    pub(crate) customer_warehouse: u32,
    pub(crate) customer_district: u32,
    pub(crate) customer: Customer,
    pub(crate) cents: u32,
}

/// The input of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    NewOrder(NewOrder),
    Payment(Payment),
    OrderStatus { warehouse: u32, district: u32, customer: Customer },
    Delivery { warehouse: u32, carrier: u32 },
    StockLevel { warehouse: u32, district: u32, threshold: u32 },
}

impl Input {
    /// As the specification draws it.
    pub(crate) fn draw(kind: Kind, home: Home, random: &mut Random) -> Input {
        let Home { warehouse, district, .. } = home;
        match kind {
            Kind::NewOrder => Input::NewOrder(new_order(home, random)),
            Kind::Payment => Input::Payment(payment(home, random)),
            Kind::OrderStatus => {
                Input::OrderStatus { warehouse, district: random.uniform(1, DISTRICTS), customer: Customer::draw(random) }
            }
            Kind::Delivery => Input::Delivery { warehouse, carrier: random.uniform(1, 10) },
            Kind::StockLevel => Input::StockLevel { warehouse, district, threshold: random.uniform(10, 20) },
        }
    }
}

fn new_order(home: Home, random: &mut Random) -> NewOrder {
    let (district, customer) = (random.uniform(1, DISTRICTS), random.customer());
    let mut lines: Vec<Line> = (0..random.uniform(5, 15))
        .map(|_| {
            let remote = home.warehouses > 1 && random.percent(1);
            Line {
                item: random.item(),
                supplier: if remote { home.another_warehouse(random) } else { home.warehouse },
                quantity: random.uniform(1, 10),
            }
        })
        .collect();
    // One in a hundred ends with an item that is not there, and is rolled back.
    if random.percent(1)
        && let Some(last) = lines.last_mut()
    {
        last.item = ITEMS + 1;
    }
    NewOrder { warehouse: home.warehouse, district, customer, lines }
}

fn payment(home: Home, random: &mut Random) -> Payment {
    let district = random.uniform(1, DISTRICTS);
    let remote = home.warehouses > 1 && random.percent(15);
    let (customer_warehouse, customer_district) =
        if remote { (home.another_warehouse(random), random.uniform(1, DISTRICTS)) } else { (home.warehouse, district) };
    let (customer, cents) = (Customer::draw(random), random.uniform(100, 500_000));
    Payment { warehouse: home.warehouse, district, customer_warehouse, customer_district, customer, cents }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::random::Constants;

    fn random() -> Random {
        Random::new(11, 0, Constants::of_run(11))
    }

    /// True if `count` of `all` is the share within six standard deviations.
    fn is_share(count: usize, all: usize, share: f64) -> bool {
        let all = all as f64;
        (count as f64 - all * share).abs() <= 6.0 * (all * share * (1.0 - share)).sqrt()
    }

    #[test]
    fn every_deck_has_the_mix() {
        let (mut random, mut deck) = (random(), Deck::default());
        let mut orders = HashSet::new();
        for _ in 0..100 {
            let dealt: Vec<Kind> = (0..23).map(|_| deck.draw(&mut random)).collect();
            for (kind, cards) in Kind::ALL.into_iter().zip([10, 10, 1, 1, 1]) {
                assert_eq!(dealt.iter().filter(|&&card| card == kind).count(), cards);
            }
            orders.insert(format!("{dealt:?}"));
        }
        assert!(orders.len() > 90, "the deck is not shuffled");
    }

    #[test]
    fn new_orders_are_rolled_back_and_remote_as_often_as_they_should() {
        let (home, mut random, all) = (Home::of(12, 10), random(), 100_000);
        let orders: Vec<_> = (0..all).map(|_| new_order(home, &mut random)).collect();
        let bad = orders.iter().filter(|order| order.lines.iter().any(|line| line.item > ITEMS)).count();
        assert!(is_share(bad, all, 0.01), "{bad} of {all} are rolled back");
        let lines: Vec<_> = orders.iter().flat_map(|order| &order.lines).collect();
        assert!((9.9..10.1).contains(&(lines.len() as f64 / all as f64)));
        let remote = lines.iter().filter(|line| line.supplier != home.warehouse).count();
        assert!(is_share(remote, lines.len(), 0.01), "{remote} of {} lines are remote", lines.len());
        let suppliers: HashSet<_> = lines.iter().map(|line| line.supplier).collect();
        assert_eq!(suppliers, (1..=10).collect());
    }

    #[test]
    fn payments_are_remote_and_by_name_as_often_as_they_should() {
        let (home, mut random, all) = (Home::of(3, 10), random(), 100_000);
        let payments: Vec<_> = (0..all).map(|_| payment(home, &mut random)).collect();
        let remote = payments.iter().filter(|payment| payment.customer_warehouse != home.warehouse).count();
        assert!(is_share(remote, all, 0.15), "{remote} of {all} are remote");
        let by_name = payments.iter().filter(|payment| matches!(payment.customer, Customer::LastName(_))).count();
        assert!(is_share(by_name, all, 0.6), "{by_name} of {all} are by name");
        assert!(payments.iter().all(|payment| (100..=500_000).contains(&payment.cents)));
    }

    #[test]
    fn one_warehouse_has_nothing_remote() {
        let (home, mut random) = (Home::of(0, 1), random());
        for _ in 0..10_000 {
            assert!(new_order(home, &mut random).lines.iter().all(|line| line.supplier == 1));
            assert_eq!(payment(home, &mut random).customer_warehouse, 1);
        }
    }

    #[test]
    fn terminals_share_out_warehouses_then_districts() {
        let homes: HashSet<_> =
            (0..40).map(|terminal| Home::of(terminal, 4)).map(|home| (home.warehouse, home.district)).collect();
        assert_eq!(homes.len(), 40);
    }

    #[test]
    fn think_times_have_their_mean_and_their_bound() {
        let mut random = random();
        let times: Vec<f64> = (0..100_000).map(|_| Kind::NewOrder.think(&mut random).as_secs_f64()).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        assert!((11.8..12.2).contains(&mean), "{mean}");
        assert!(times.iter().all(|time| *time <= 120.0));
    }
}

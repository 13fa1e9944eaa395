//! The first rows of each table, as text for COPY.
//!
//! ```text
//!   orders      3000 a district, customers in random order   |1 .. 2100 delivered           |2101 .. 3000 new
//!   new_order                                                |                              |one each
//!   order_line  5 to 15 an order                             |amount 0, delivered           |amount random, not delivered
//! ```
//!
//! 1. A table's rows in a warehouse are a function of the seed, whoever makes them and when. `orders` and `order_line` read the same
//!    stream, so an order has as many lines as it says.
//! 2. No value has a character that COPY's text form would escape.
//!
//! Source: TPC-C 5.11, clause 4.3.3.1.

use crate::random::{Constants, Random, last_name_of};
use crate::schema::{CUSTOMERS, DELIVERED, DISTRICTS, ITEMS, Table};

/// Makes rows.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) seed: u64,
    /// When customers came and orders were made, as PostgreSQL reads it.
    pub(crate) now: String,
}

/// An order of the first ones.
struct Order {
    district: u32,
    id: u32,
    customer: u32,
    carrier: Option<u32>,
    lines: u32,
}

impl Order {
    fn delivered(&self) -> bool {
        self.id <= DELIVERED
    }
}

impl Generator {
    /// Calls `emit` with each row of `table` in a warehouse, a line without its end. Items have no warehouse: all come with the first.
    pub(crate) fn each(&self, table: Table, warehouse: u32, mut emit: impl FnMut(&str)) {
        let mut random = self.random(table, warehouse);
        match table {
            Table::Warehouse => emit(&format!("{warehouse}\t{}\t{}\t300000.00", address(&mut random), random.fraction(2000))),
            Table::District => (1..=DISTRICTS).for_each(|district| {
                let (address, tax) = (address(&mut random), random.fraction(2000));
                emit(&format!("{district}\t{warehouse}\t{address}\t{tax}\t30000.00\t{}", CUSTOMERS + 1));
            }),
            Table::Customer => each_customer(|district, customer| {
                emit(&self.customer(&mut random, warehouse, district, customer));
            }),
            Table::History => each_customer(|district, customer| {
                let data = random.text(12, 24);
                emit(&format!("{customer}\t{district}\t{warehouse}\t{district}\t{warehouse}\t{}\t10.00\t{data}", self.now));
            }),
            Table::Orders => self.each_order(warehouse, |Order { district, id, customer, carrier, lines }| {
                let carrier = carrier.map_or_else(|| "\\N".to_owned(), |carrier| carrier.to_string());
                emit(&format!("{id}\t{district}\t{warehouse}\t{customer}\t{}\t{carrier}\t{lines}\t1", self.now));
            }),
            Table::NewOrder => self.each_order(warehouse, |order| {
                if !order.delivered() {
                    emit(&format!("{}\t{}\t{warehouse}", order.id, order.district));
                }
            }),
            Table::OrderLine => self.each_order(warehouse, |order| {
                (1..=order.lines).for_each(|line| emit(&self.order_line(&mut random, warehouse, &order, line)));
            }),
            Table::Item if warehouse == 1 => (1..=ITEMS).for_each(|item| {
                let (image, name, price, data) =
                    (random.uniform(1, 10_000), random.text(14, 24), money(random.uniform(100, 10_000)), random.data());
                emit(&format!("{item}\t{image}\t{name}\t{price}\t{data}"));
            }),
            Table::Item => {}
            Table::Stock => (1..=ITEMS).for_each(|item| {
                let mut row = format!("{item}\t{warehouse}\t{}", random.uniform(10, 100));
                for _ in 1..=DISTRICTS {
                    row.push('\t');
                    row.push_str(&random.text(24, 24));
                }
                row.push_str("\t0\t0\t0\t");
                row.push_str(&random.data());
                emit(&row);
            }),
        }
    }

    fn random(&self, table: Table, warehouse: u32) -> Random {
        Random::new(self.seed, u64::from(warehouse) * 16 + table as u64, Constants::of_load())
    }

    fn each_order(&self, warehouse: u32, mut emit: impl FnMut(Order)) {
        let mut random = self.random(Table::Orders, warehouse);
        for district in 1..=DISTRICTS {
            for (id, customer) in (1..).zip(random.permutation(CUSTOMERS)) {
                let (carrier, lines) = (random.uniform(1, 10), random.uniform(5, 15));
                emit(Order { district, id, customer, carrier: (id <= DELIVERED).then_some(carrier), lines });
            }
        }
    }

    fn order_line(&self, random: &mut Random, warehouse: u32, order: &Order, line: u32) -> String {
        let Order { district, id, .. } = order;
        let (item, dist_info, amount) = (random.uniform(1, ITEMS), random.text(24, 24), random.uniform(1, 999_999));
        let (delivered, amount) = if order.delivered() { (self.now.as_str(), "0.00".to_owned()) } else { ("\\N", money(amount)) };
        format!("{id}\t{district}\t{warehouse}\t{line}\t{item}\t{warehouse}\t{delivered}\t5\t{amount}\t{dist_info}")
    }

    fn customer(&self, random: &mut Random, warehouse: u32, district: u32, customer: u32) -> String {
        // The first thousand have every last name once.
        let last = if customer <= 1000 { customer - 1 } else { random.last_name() };
        let (first, last) = (random.text(8, 16), last_name_of(last));
        let (place, phone) = (place(random), random.digits(16));
        let credit = if random.percent(10) { "BC" } else { "GC" };
        let (discount, data, now) = (random.fraction(5000), random.text(300, 500), &self.now);
        format!(
            "{customer}\t{district}\t{warehouse}\t{first}\tOE\t{last}\t{place}\t{phone}\t{now}\t{credit}\t50000.00\t{discount}\
             \t-10.00\t10.00\t1\t0\t{data}"
        )
    }
}

fn each_customer(mut emit: impl FnMut(u32, u32)) {
    for district in 1..=DISTRICTS {
        (1..=CUSTOMERS).for_each(|customer| emit(district, customer));
    }
}

/// Name, streets, city, state, zip.
fn address(random: &mut Random) -> String {
    format!("{}\t{}", random.text(6, 10), place(random))
}

fn place(random: &mut Random) -> String {
    let (street_1, street_2, city) = (random.text(10, 20), random.text(10, 20), random.text(10, 20));
    format!("{street_1}\t{street_2}\t{city}\t{}\t{}", random.state(), random.zip())
}

fn money(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn rows(table: Table, warehouse: u32) -> Vec<Vec<String>> {
        let generator = Generator { seed: 1, now: "2026-01-02 03:04:05".into() };
        let mut rows = Vec::new();
        generator.each(table, warehouse, |row| rows.push(row.split('\t').map(str::to_owned).collect()));
        rows
    }

    #[test]
    fn every_table_has_its_rows_and_columns() {
        let schema = include_str!("../schema.sql");
        for table in Table::ALL {
            let rows = rows(table, 1);
            let about = table.rows_about(1);
            let close = about / 50 * u64::from(table == Table::OrderLine);
            assert!((rows.len() as u64).abs_diff(about) <= close, "{table:?}: {} rows, {about} wanted", rows.len());
            let definition = schema.split(&format!("create table {} (", table.name())).nth(1).unwrap();
            let columns = definition.split("\n);").next().unwrap().lines().filter(|line| !line.trim().is_empty());
            let columns = columns.filter(|line| !line.contains("primary key")).count();
            assert!(rows.iter().all(|row| row.len() == columns), "{table:?}");
        }
        assert!(rows(Table::Item, 2).is_empty());
    }

    #[test]
    fn an_order_has_as_many_lines_as_it_says() {
        let mut lines: HashMap<(String, String), u32> = HashMap::new();
        for line in rows(Table::OrderLine, 3) {
            *lines.entry((line[1].clone(), line[0].clone())).or_default() += 1;
            assert_eq!(line[6] == "\\N", line[0].parse::<u32>().unwrap() > 2100);
            assert_eq!(line[8] != "0.00", line[6] == "\\N");
        }
        let orders = rows(Table::Orders, 3);
        let mut customers = HashSet::new();
        for order in &orders {
            assert_eq!(lines[&(order[1].clone(), order[0].clone())].to_string(), order[6]);
            assert_eq!(order[5] == "\\N", order[0].parse::<u32>().unwrap() > 2100);
            assert!(customers.insert((order[1].clone(), order[3].clone())), "a customer has two orders");
        }
        let new: HashSet<_> = rows(Table::NewOrder, 3).into_iter().map(|row| (row[1].clone(), row[0].clone())).collect();
        let open = orders.iter().filter(|order| order[5] == "\\N").map(|order| (order[1].clone(), order[0].clone())).collect();
        assert_eq!(new, open);
    }

    #[test]
    fn one_customer_in_ten_has_bad_credit_and_every_name_is_there() {
        let customers = rows(Table::Customer, 1);
        let bad = customers.iter().filter(|row| row[13] == "BC").count();
        assert!((2_750..3_250).contains(&bad), "{bad}");
        for district in 1..=10 {
            let names: HashSet<_> = customers.iter().filter(|row| row[1] == district.to_string()).map(|row| &row[5]).collect();
            assert_eq!(names.len(), 1000);
        }
    }

    #[test]
    fn warehouses_differ_and_repeat() {
        assert_eq!(rows(Table::Warehouse, 1), rows(Table::Warehouse, 1));
        assert_ne!(rows(Table::Stock, 1)[0][3], rows(Table::Stock, 2)[0][3]);
    }
}

//! The five transactions, from BEGIN to COMMIT.
//!
//! 1. A transaction's statements are the specification's, in groups whose members do not need each other's rows (`wire`, rule 2).
//! 2. Delivery runs when it is asked for, not from a queue, and delivers its ten districts in one transaction.
//! 3. What the specification shows on the terminal is fetched; nothing is drawn.
//!
//! Source: TPC-C 5.11, clauses 2.4.2 to 2.8.2.

use crate::input::{Customer, Input, NewOrder, Payment};
use crate::schema::{DISTRICTS, ITEMS};
use crate::statements::*;
use crate::wire::{Call, Connection, Fault, Money, Row, Value, now, only};

/// Longest c_data.
const CUSTOMER_DATA: usize = 500;
/// Orders that Stock-Level looks back.
const STOCK_LEVEL_ORDERS: i64 = 20;
/// How often a district is asked again for its oldest new order. At READ COMMITTED the answer is empty when another Delivery had the
/// row locked and deleted it, although there are others.
const ASKED_AGAIN: usize = 3;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    /// As the profile of New-Order wants it in one of a hundred.
    RolledBack,
    /// Delivery, in so many districts without a new order.
    Skipped(u64),
}

/// Runs one. After an error the transaction is still to be rolled back.
pub(crate) async fn run(connection: &mut Connection, input: &Input) -> Result<Outcome, Fault> {
    match input {
        Input::NewOrder(input) => new_order(connection, input).await,
        Input::Payment(input) => payment(connection, input).await,
        Input::OrderStatus { warehouse, district, customer } => order_status(connection, *warehouse, *district, customer).await,
        Input::Delivery { warehouse, carrier } => delivery(connection, *warehouse, *carrier).await,
        Input::StockLevel { warehouse, district, threshold } => stock_level(connection, *warehouse, *district, *threshold).await,
    }
}

fn begin() -> Call {
    Call::new(BEGIN, [])
}

fn commit() -> Call {
    Call::new(COMMIT, [])
}

/// The groups' answers in order; each is asked for once.
struct Answers(std::vec::IntoIter<Vec<Row>>);

impl Answers {
    async fn of(connection: &mut Connection, calls: Vec<Call>) -> Result<Answers, Fault> {
        Ok(Answers(connection.all(calls).await?.into_iter()))
    }

    fn rows(&mut self) -> Vec<Row> {
        self.0.next().expect("a group has an answer for each call")
    }

    fn only(&mut self, sql: &'static str) -> Result<Row, Fault> {
        only(sql, self.rows())
    }
}

async fn new_order(connection: &mut Connection, input: &NewOrder) -> Result<Outcome, Fault> {
    let NewOrder { warehouse, district, customer, lines } = input;
    let (w, d, c) = (|| Value::from(*warehouse), || Value::from(*district), || Value::from(*customer));
    let mut answers = Answers::of(
        connection,
        vec![begin(), Call::new(WAREHOUSE_TAX, [w()]), Call::new(NEXT_ORDER, [w(), d()]), Call::new(BUYER, [w(), d(), c()])],
    )
    .await?;
    answers.rows();
    answers.only(WAREHOUSE_TAX)?.money(0)?;
    let order = answers.only(NEXT_ORDER)?.int(0)? - 1;
    answers.only(BUYER)?.money(0)?;

    let all_local = lines.iter().all(|line| line.supplier == *warehouse);
    let count = Value::from(lines.len() as i64);
    let mut group = vec![
        Call::new(INSERT_ORDER, [order.into(), d(), w(), c(), now(), count, Value::from(u32::from(all_local))]),
        Call::new(INSERT_NEW_ORDER, [order.into(), d(), w()]),
    ];
    group.extend(lines.iter().map(|line| Call::new(ITEM, [line.item.into()])));
    let mut answers = Answers::of(connection, group).await?;
    answers.rows();
    answers.rows();
    let mut prices = Vec::with_capacity(lines.len());
    for line in lines {
        let mut rows = answers.rows();
        match rows.pop() {
            Some(row) => prices.push(row.money(0)?.0),
            None if line.item > ITEMS => {
                connection.rollback().await?;
                return Ok(Outcome::RolledBack);
            }
            None => return Err(Fault::Answer { sql: ITEM, reason: format!("item {} is not there", line.item) }),
        }
    }

    let stock = STOCK[(district - 1) as usize];
    let group = lines.iter().map(|line| Call::new(stock, [line.supplier.into(), line.item.into()])).collect();
    let mut answers = Answers::of(connection, group).await?;
    // An item may be ordered on two lines: the second finds what the first leaves, read before it was written.
    let mut left: Vec<(u32, u32, i64)> = Vec::with_capacity(lines.len());
    let mut group = Vec::with_capacity(2 * lines.len() + 1);
    for ((number, line), price) in (1_i64..).zip(lines).zip(prices) {
        let row = answers.only(stock)?;
        let found = left.iter().rposition(|(supplier, item, _)| (*supplier, *item) == (line.supplier, line.item));
        let before = found.map_or_else(|| row.int(0), |at| Ok(left[at].2))?;
        let quantity = i64::from(line.quantity);
        let after = if before - quantity >= 10 { before - quantity } else { before - quantity + 91 };
        left.push((line.supplier, line.item, after));
        let remote = Value::from(u32::from(line.supplier != *warehouse));
        let (supplier, item) = (|| Value::from(line.supplier), || Value::from(line.item));
        group.push(Call::new(UPDATE_STOCK, [supplier(), item(), after.into(), quantity.into(), remote]));
        let (amount, dist_info) = (Money(price * quantity), Value::from(row.text(2)?));
        group.push(Call::new(
            INSERT_ORDER_LINE,
            [order.into(), d(), w(), number.into(), item(), supplier(), quantity.into(), amount.into(), dist_info],
        ));
    }
    group.push(commit());
    connection.all(group).await?;
    Ok(Outcome::Committed)
}

async fn payment(connection: &mut Connection, input: &Payment) -> Result<Outcome, Fault> {
    let Payment { warehouse, district, customer_warehouse, customer_district, customer, cents } = input;
    let amount = || Value::from(Money::cents((*cents).into()));
    let (w, d, cw, cd) = (
        || Value::from(*warehouse),
        || Value::from(*district),
        || Value::from(*customer_warehouse),
        || Value::from(*customer_district),
    );
    let mut answers = Answers::of(
        connection,
        vec![begin(), Call::new(PAY_WAREHOUSE, [w(), amount()]), Call::new(PAY_DISTRICT, [w(), d(), amount()])],
    )
    .await?;
    answers.rows();
    let (warehouse_name, district_name) = (answers.only(PAY_WAREHOUSE)?.text(0)?, answers.only(PAY_DISTRICT)?.text(0)?);

    let id = find_customer(connection, *customer_warehouse, *customer_district, customer).await?;
    let c = || Value::from(id);
    let payer = only(PAYER, connection.call(PAYER, [cw(), cd(), c()]).await?)?;
    let update = if payer.text(10)? == "BC" {
        let old = only(PAYER_DATA, connection.call(PAYER_DATA, [cw(), cd(), c()]).await?)?.text(0)?;
        let new =
            format!("{id} {customer_district} {customer_warehouse} {district} {warehouse} {}.{:02} | ", cents / 100, cents % 100);
        let data: String = new.chars().chain(old.chars()).take(CUSTOMER_DATA).collect();
        Call::new(PAY_BAD, [cw(), cd(), c(), amount(), data.into()])
    } else {
        Call::new(PAY, [cw(), cd(), c(), amount()])
    };
    let data = format!("{warehouse_name}    {district_name}");
    let history = Call::new(INSERT_HISTORY, [c(), cd(), cw(), d(), w(), now(), amount(), data.into()]);
    connection.all(vec![update, history, commit()]).await?;
    Ok(Outcome::Committed)
}

/// A customer's number: by last name, the one in the middle of those who have it, by first name, rounded up.
async fn find_customer(connection: &mut Connection, warehouse: u32, district: u32, customer: &Customer) -> Result<i64, Fault> {
    match customer {
        Customer::Id(id) => Ok((*id).into()),
        Customer::LastName(name) => {
            let rows = connection.call(NAMESAKES, [warehouse.into(), district.into(), name.clone().into()]).await?;
            let none = || Fault::Answer { sql: NAMESAKES, reason: format!("nobody is called {name}") };
            rows.get(rows.len().div_ceil(2).saturating_sub(1)).ok_or_else(none)?.int(0)
        }
    }
}

async fn order_status(connection: &mut Connection, warehouse: u32, district: u32, customer: &Customer) -> Result<Outcome, Fault> {
    let (w, d) = (|| Value::from(warehouse), || Value::from(district));
    connection.call(BEGIN, []).await?;
    let id = find_customer(connection, warehouse, district, customer).await?;
    let group = vec![Call::new(CUSTOMER, [w(), d(), id.into()]), Call::new(LAST_ORDER, [w(), d(), id.into()])];
    let mut answers = Answers::of(connection, group).await?;
    answers.only(CUSTOMER)?.money(0)?;
    let order = answers.only(LAST_ORDER)?.int(0)?;
    let mut answers = Answers::of(connection, vec![Call::new(ORDER_LINES, [w(), d(), order.into()]), commit()]).await?;
    let lines = answers.rows();
    for line in &lines {
        line.money(3)?;
    }
    if !(5..=15).contains(&lines.len()) {
        return Err(Fault::Answer { sql: ORDER_LINES, reason: format!("order {order} has {} lines", lines.len()) });
    }
    Ok(Outcome::Committed)
}

async fn delivery(connection: &mut Connection, warehouse: u32, carrier: u32) -> Result<Outcome, Fault> {
    let w = || Value::from(warehouse);
    let oldest = |district: u32| Call::new(OLDEST, [w(), district.into()]);
    let group = std::iter::once(begin()).chain((1..=DISTRICTS).map(oldest)).collect();
    let mut answers = Answers::of(connection, group).await?;
    answers.rows();
    let mut orders = Vec::new();
    for district in 1..=DISTRICTS {
        let mut rows = answers.rows();
        for _ in 0..ASKED_AGAIN {
            if rows.is_empty() {
                rows = connection.call(OLDEST, [w(), district.into()]).await?;
            }
        }
        if !rows.is_empty() {
            orders.push((Value::from(district), Value::from(only(OLDEST, rows)?.int(0)?)));
        }
    }

    let mut group = Vec::with_capacity(4 * orders.len());
    for (d, o) in &orders {
        let key = || [w(), d.clone(), o.clone()];
        group.push(Call::new(DELETE_NEW_ORDER, key()));
        group.push(Call::new(CARRY, [w(), d.clone(), o.clone(), carrier.into()]));
        group.push(Call::new(DELIVER_LINES, [w(), d.clone(), o.clone(), now()]));
        group.push(Call::new(ORDER_TOTAL, key()));
    }
    let mut answers = Answers::of(connection, group).await?;
    let mut group = Vec::with_capacity(orders.len() + 1);
    for (d, _) in &orders {
        answers.rows();
        let customer = answers.only(CARRY)?.int(0)?;
        answers.rows();
        let total = answers.only(ORDER_TOTAL)?.money(0)?;
        group.push(Call::new(CHARGE, [w(), d.clone(), customer.into(), total.into()]));
    }
    group.push(commit());
    connection.all(group).await?;
    match u64::from(DISTRICTS) - orders.len() as u64 {
        0 => Ok(Outcome::Committed),
        skipped => Ok(Outcome::Skipped(skipped)),
    }
}

async fn stock_level(connection: &mut Connection, warehouse: u32, district: u32, threshold: u32) -> Result<Outcome, Fault> {
    let (w, d) = (|| Value::from(warehouse), || Value::from(district));
    let mut answers = Answers::of(connection, vec![begin(), Call::new(DISTRICT_NEXT_ORDER, [w(), d()])]).await?;
    answers.rows();
    let next = answers.only(DISTRICT_NEXT_ORDER)?.int(0)?;
    let from = next - STOCK_LEVEL_ORDERS;
    let group = vec![Call::new(LOW_STOCK, [w(), d(), from.into(), next.into(), threshold.into()]), commit()];
    let mut answers = Answers::of(connection, group).await?;
    answers.only(LOW_STOCK)?.int(0)?;
    Ok(Outcome::Committed)
}

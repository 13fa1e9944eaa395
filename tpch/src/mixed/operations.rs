//! What the clients of the mixed run do: kinds of transactions, drawn at random.
//!
//! ```text
//!   rows of                         are changed by            so that
//!   orders, lineitem (key % N = c)  client c alone            its transactions follow each other
//!   customer, supplier, account     everybody, by additions   additions commute
//!   marker, journal                 client c: new rows        they never meet
//! ```

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::books::{Books, COUPLES_PER_GROUP, GROUPS};
use super::plan::{End, Isolation, Order, Plan};
use super::statement::{Arg, money};

const KINDS: [(&str, u32, fn(&mut Draw, &mut Plan)); 16] = [
    ("new order", 28, Draw::new_order),
    ("transfer", 20, Draw::transfer),
    ("payment", 10, Draw::payment),
    ("delete order", 10, Draw::delete_order),
    ("edit order", 8, Draw::edit_order),
    ("edit lines", 5, Draw::edit_lines),
    ("shift group", 3, Draw::shift_group),
    ("batch", 2, Draw::batch),
    ("purge", 2, Draw::purge),
    ("rolled back", 4, Draw::rolled_back),
    ("savepoint", 4, Draw::savepoint),
    ("duplicate after savepoint", 2, Draw::duplicate_after_savepoint),
    ("duplicate", 2, Draw::duplicate),
    ("duplicate in a block", 2, Draw::duplicate_in_a_block),
    ("failing update", 2, Draw::failing_update),
    ("delete old order", 4, Draw::delete_old_order),
];

/// Orders of a batch; each with three lines.
const BATCH: usize = 60;

/// Draws transactions for one client.
pub(super) struct Draw {
    books: Books,
    client: i64,
    random: StdRng,
    /// Entered by this client and not deleted yet.
    pub(super) orders: Vec<Order>,
    next_key: i64,
    /// The last committed marker.
    pub(super) sequence: i64,
    /// An order of the first load that this client owns and found there: key, customer, total in cents.
    pub(super) old: Option<(i64, i64, i64)>,
}

impl Draw {
    pub(super) fn new(books: &Books, client: u16, seed: u64) -> Draw {
        let client = i64::from(client);
        Draw {
            next_key: books.first_key + client,
            books: books.clone(),
            client,
            random: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(client as u64)),
            orders: Vec::new(),
            sequence: 0,
            old: None,
        }
    }

    pub(super) fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    /// A key that an order of the first load may have and that this client owns.
    pub(super) fn old_key(&mut self) -> i64 {
        let clients = self.books.clients;
        self.random.random_range(0..=self.books.old_key_max / clients) * clients + self.client
    }

    /// The next transaction.
    pub(super) fn next(&mut self) -> Plan {
        let (kind, _, make) = *KINDS.choose_weighted(&mut self.random, |kind| kind.1).expect("weights are above zero");
        let mut plan = self.empty(kind);
        make(self, &mut plan);
        if plan.end == End::Commit {
            let lines = self.random.random_range(0..=3);
            for _ in 0..lines {
                let amount = self.random.random_range(-100_000..100_000);
                let args = vec![Arg::Int4(self.client as i32), Arg::Int(plan.sequence), Arg::Money(amount)];
                plan.run("insert into journal values (?, ?, ?)", args, 1);
            }
            let kind = Arg::Text(kind.to_owned());
            let args = vec![Arg::Int4(self.client as i32), Arg::Int(plan.sequence), kind, Arg::Int4(lines)];
            plan.run("insert into marker values (?, ?, ?, ?)", args, 1);
        }
        plan
    }

    /// What the client knows once a plan is committed.
    pub(super) fn committed(&mut self, plan: &Plan) {
        self.sequence = plan.sequence;
        self.orders.retain(|order| !plan.deleted.contains(&order.key));
        self.orders.extend(&plan.entered);
    }

    fn empty(&mut self, kind: &'static str) -> Plan {
        let isolation = if self.random.random_ratio(1, 4) { Isolation::RepeatableRead } else { Isolation::ReadCommitted };
        Plan {
            kind,
            isolation,
            steps: Vec::new(),
            end: End::Commit,
            sequence: self.sequence + 1,
            entered: Vec::new(),
            deleted: Vec::new(),
        }
    }

    fn customer(&mut self) -> i64 {
        self.random.random_range(1..=self.books.customers)
    }

    fn amount(&mut self) -> i64 {
        self.random.random_range(1..1_000_000)
    }

    /// An order and its lines, as rows of VALUES, and what it is.
    fn order_rows(&mut self, lines: u64) -> (String, Vec<String>, Order) {
        let key = self.next_key;
        self.next_key += self.books.clients;
        let customer = self.customer();
        let mut total = 0;
        let rows = (1..=lines)
            .map(|line| {
                let price = self.amount();
                total += price;
                let part = self.random.random_range(1..=self.books.parts);
                let supplier = self.random.random_range(1..=self.books.suppliers);
                let quantity = self.random.random_range(1..=50);
                format!(
                    "({key}, {part}, {supplier}, {line}, {quantity}, {}, 0.0{}, 0, 'N', 'O', date '1998-08-{:02}', \
                     date '1998-08-12', date '1998-08-22', 'NONE', 'AIR', 'line {line} of {key}')",
                    money(price),
                    line % 10,
                    line % 28 + 1
                )
            })
            .collect();
        let order = format!(
            "({key}, {customer}, 'O', {}, date '1998-08-02', '3-MEDIUM', 'Clerk#{:09}', 0, 'entered by client {}')",
            money(total),
            self.client,
            self.client
        );
        (order, rows, Order { key, customer, total, lines })
    }

    fn enter(&mut self, plan: &mut Plan) -> Order {
        let lines = self.random.random_range(1..=7);
        let (row, rows, order) = self.order_rows(lines);
        plan.run(format!("insert into orders values {row}"), vec![], 1);
        if self.random.random_ratio(1, 2) {
            plan.run(format!("insert into lineitem values {}", rows.join(", ")), vec![], lines);
        } else {
            rows.iter().for_each(|row| plan.run(format!("insert into lineitem values {row}"), vec![], 1));
        }
        self.pay(plan, order.customer, -order.total);
        order
    }

    fn pay(&mut self, plan: &mut Plan, customer: i64, cents: i64) {
        let args = vec![Arg::Money(cents), Arg::Int(customer)];
        plan.run("update customer set c_acctbal = c_acctbal + ? where c_custkey = ?", args, 1);
    }

    fn cancel(&mut self, plan: &mut Plan, order: Order) {
        plan.run("delete from lineitem where l_orderkey = ?", vec![Arg::Int(order.key)], order.lines);
        plan.run("delete from orders where o_orderkey = ?", vec![Arg::Int(order.key)], 1);
        self.pay(plan, order.customer, order.total);
    }

    fn own_order(&mut self) -> Option<Order> {
        self.orders.choose(&mut self.random).copied()
    }

    fn new_order(&mut self, plan: &mut Plan) {
        let order = self.enter(plan);
        plan.entered.push(order);
    }

    fn delete_order(&mut self, plan: &mut Plan) {
        let Some(order) = self.own_order() else { return self.new_order(plan) };
        self.cancel(plan, order);
        plan.deleted.push(order.key);
    }

    fn delete_old_order(&mut self, plan: &mut Plan) {
        let Some((key, customer, total)) = self.old.take() else { return self.transfer(plan) };
        plan.run("delete from lineitem where l_orderkey = ?", vec![Arg::Int(key)], None);
        plan.run("delete from orders where o_orderkey = ?", vec![Arg::Int(key)], 1);
        self.pay(plan, customer, total);
    }

    /// Between the two accounts of a couple: their sum is the same for ever.
    fn transfer(&mut self, plan: &mut Plan) {
        // A few couples are wanted by everybody.
        let couples = if self.random.random_ratio(1, 4) { 16 } else { self.books.couples };
        let couple = self.random.random_range(0..couples);
        let amount = self.random.random_range(-50_000..50_000);
        let mut sides = [(2 * couple, amount), (2 * couple + 1, -amount)];
        if self.random.random_ratio(1, 10) {
            sides.reverse(); // now and then two transfers wait for each other
        }
        for (account, amount) in sides {
            let args = vec![Arg::Money(amount), Arg::Int(account)];
            plan.run("update account set a_balance = a_balance + ? where a_id = ?", args, 1);
        }
    }

    /// Many rows by a condition that is not the key: selected by a query, looked at again when somebody else held them.
    fn shift_group(&mut self, plan: &mut Plan) {
        let group = self.random.random_range(0..GROUPS);
        let amount = self.random.random_range(-500..500);
        let args = vec![Arg::Money(amount), Arg::Money(-amount), Arg::Int4(group)];
        plan.run(
            "update account set a_balance = a_balance + case when a_id % 2 = 0 then ? else ? end where a_group = ?",
            args,
            2 * COUPLES_PER_GROUP,
        );
    }

    fn payment(&mut self, plan: &mut Plan) {
        let (customer, amount) = (self.customer(), self.amount());
        let supplier = self.random.random_range(1..=self.books.suppliers);
        self.pay(plan, customer, -amount);
        let args = vec![Arg::Money(amount), Arg::Int(supplier)];
        plan.run("update supplier set s_acctbal = s_acctbal + ? where s_suppkey = ?", args, 1);
    }

    fn edit_order(&mut self, plan: &mut Plan) {
        let Some(order) = self.own_order() else { return self.new_order(plan) };
        let line = self.random.random_range(1..=order.lines) as i32;
        let comment = Arg::Text(format!("edited as {}", plan.sequence));
        plan.run(
            "update orders set o_comment = ?, o_orderstatus = 'P' where o_orderkey = ?",
            vec![comment.clone(), Arg::Int(order.key)],
            1,
        );
        plan.run(
            "update lineitem set l_comment = ?, l_quantity = l_quantity + 1 where l_orderkey = ? and l_linenumber = ?",
            vec![comment, Arg::Int(order.key), Arg::Int4(line)],
            1,
        );
    }

    /// Own rows of the first load, many at once.
    fn edit_lines(&mut self, plan: &mut Plan) {
        let from = self.random.random_range(0..=self.books.old_key_max);
        let range = vec![
            Arg::Int(from),
            Arg::Int(from + self.random.random_range(0..2_000)),
            Arg::Int(self.books.clients),
            Arg::Int(self.client),
        ];
        plan.run(
            "update lineitem set l_quantity = l_quantity + 1, l_shipmode = 'MAIL' \
             where l_orderkey between ? and ? and l_orderkey % ? = ?",
            range.clone(),
            None,
        );
        plan.run(
            "update orders set o_shippriority = o_shippriority + 1 where o_orderkey between ? and ? and o_orderkey % ? = ?",
            range,
            None,
        );
    }

    /// Many orders in two statements, paid by one customer.
    fn batch(&mut self, plan: &mut Plan) {
        let (mut orders, mut lines) = (Vec::new(), Vec::new());
        let customer = self.customer();
        let mut total = 0;
        for _ in 0..BATCH {
            let (row, rows, order) = self.order_rows(3);
            let own = order.customer;
            orders.push(row.replacen(&format!(", {own}, "), &format!(", {customer}, "), 1));
            lines.extend(rows);
            total += order.total;
            plan.entered.push(Order { customer, ..order });
        }
        plan.run(format!("insert into orders values {}", orders.join(", ")), vec![], BATCH as u64);
        plan.run(format!("insert into lineitem values {}", lines.join(", ")), vec![], 3 * BATCH as u64);
        self.pay(plan, customer, -total);
    }

    /// The oldest of the client's orders, by a range of keys.
    fn purge(&mut self, plan: &mut Plan) {
        let mut oldest = self.orders.clone();
        oldest.sort_by_key(|order| order.key);
        oldest.truncate(BATCH / 2);
        let (Some(first), Some(last)) = (oldest.first(), oldest.last()) else { return self.batch(plan) };
        let range = vec![Arg::Int(first.key), Arg::Int(last.key), Arg::Int(self.books.clients), Arg::Int(self.client)];
        let lines = oldest.iter().map(|order| order.lines).sum::<u64>();
        plan.run("delete from lineitem where l_orderkey between ? and ? and l_orderkey % ? = ?", range.clone(), lines);
        plan.run("delete from orders where o_orderkey between ? and ? and o_orderkey % ? = ?", range, oldest.len() as u64);
        oldest.sort_by_key(|order| order.customer);
        for order in &oldest {
            self.pay(plan, order.customer, order.total);
        }
        plan.deleted.extend(oldest.iter().map(|order| order.key));
    }

    fn rolled_back(&mut self, plan: &mut Plan) {
        self.enter(plan);
        self.transfer(plan);
        if let Some(order) = self.own_order() {
            self.cancel(plan, order);
        }
        plan.end = End::Rollback;
    }

    fn savepoint(&mut self, plan: &mut Plan) {
        let order = self.enter(plan);
        plan.steps.push(super::plan::Step::Savepoint);
        self.cancel(plan, order);
        self.transfer(plan);
        plan.steps.push(super::plan::Step::RollbackTo);
        if self.random.random_ratio(1, 2) {
            plan.steps.push(super::plan::Step::Release);
        }
        plan.entered.push(order);
    }

    /// Lines of which only the last is there already: none of the others may stay.
    fn lines_with_a_duplicate(&mut self, plan: &mut Plan) {
        let Some(order) = self.own_order() else {
            // A key that the first load has for sure.
            return plan.fails("insert into region values (77, 'NOWHERE', 'x'), (0, 'AFRICA', 'again')", vec![], "23505");
        };
        let (_, rows, _) = self.order_rows(3);
        let there = format!("({}, 1, 1, 1, ", order.key);
        let rest = rows[2].splitn(5, ", ").last().unwrap_or_default().to_owned();
        plan.fails(format!("insert into lineitem values {}, {}, {there}{rest}", rows[0], rows[1]), vec![], "23505");
    }

    fn duplicate_after_savepoint(&mut self, plan: &mut Plan) {
        self.payment(plan);
        plan.steps.push(super::plan::Step::Savepoint);
        self.lines_with_a_duplicate(plan);
        plan.steps.push(super::plan::Step::RollbackTo);
    }

    fn duplicate(&mut self, plan: &mut Plan) {
        self.lines_with_a_duplicate(plan);
        plan.end = End::NoBlock;
    }

    fn duplicate_in_a_block(&mut self, plan: &mut Plan) {
        self.payment(plan);
        self.lines_with_a_duplicate(plan);
        plan.end = End::FailedCommit;
    }

    /// Divides by zero at one of its rows.
    fn failing_update(&mut self, plan: &mut Plan) {
        let account = self.random.random_range(0..2 * self.books.couples);
        let group = (account / 2 % i64::from(GROUPS)) as i32;
        let args = vec![Arg::Int(account), Arg::Int4(group)];
        plan.fails("update account set a_balance = a_balance + 1 / (a_id - ?) where a_group = ?", args, "22012");
        plan.end = End::NoBlock;
    }
}

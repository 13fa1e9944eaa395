//! `tpcc check`: the specification's twelve consistency conditions, and that the tables are those of a load.
//!
//! 1. Each condition is one query that counts the rows, districts or warehouses that break it. A row without its counterpart breaks it.
//! 2. All queries are in one transaction at REPEATABLE READ: the check may run while terminals do.
//! 3. Condition 11 is written so that it also holds after deliveries: the specification's 2100 is what is delivered at first, and
//!    each delivery since is in a customer's c_delivery_cnt.
//! 4. Empty tables would satisfy every condition: the first check counts what a load makes and no transaction changes.
//!
//! Source: TPC-C 5.11, clause 3.3.2.

use bench::{Align, BenchError, Session, Table as Grid, Target};
use serde::Serialize;

use crate::schema::{CUSTOMERS, DISTRICTS, ITEMS};

/// A condition and the query that counts what breaks it.
struct Condition {
    name: &'static str,
    offending: &'static str,
}

const CONDITIONS: [Condition; 12] = [
    Condition {
        name: "1: w_ytd = sum(d_ytd)",
        offending: "select count(*) from warehouse
            left join (select d_w_id, sum(d_ytd) as ytd from district group by d_w_id) d on d_w_id = w_id
            where ytd is null or w_ytd <> ytd",
    },
    Condition {
        name: "2: d_next_o_id - 1 = max(o_id) = max(no_o_id)",
        offending: "select count(*) from district
            left join (select o_w_id, o_d_id, max(o_id) as last from orders group by o_w_id, o_d_id) o
                on o_w_id = d_w_id and o_d_id = d_id
            left join (select no_w_id, no_d_id, max(no_o_id) as last_new from new_order group by no_w_id, no_d_id) n
                on no_w_id = d_w_id and no_d_id = d_id
            where last is null or last <> d_next_o_id - 1 or (last_new is not null and last_new <> d_next_o_id - 1)",
    },
    Condition {
        name: "3: max(no_o_id) - min(no_o_id) + 1 = new orders",
        offending: "select count(*) from (
                select no_w_id, no_d_id, max(no_o_id) as last, min(no_o_id) as first, count(*) as n
                from new_order group by no_w_id, no_d_id) d
            where last - first + 1 <> n",
    },
    Condition {
        name: "4: sum(o_ol_cnt) = order lines",
        offending: "select count(*) from (select o_w_id, o_d_id, sum(o_ol_cnt) as said from orders group by o_w_id, o_d_id) o
            full join (select ol_w_id, ol_d_id, count(*) as n from order_line group by ol_w_id, ol_d_id) l
                on ol_w_id = o_w_id and ol_d_id = o_d_id
            where said is null or n is null or said <> n",
    },
    Condition {
        name: "5: o_carrier_id is null = a new order",
        offending: "select count(*) from orders
            full join new_order on no_w_id = o_w_id and no_d_id = o_d_id and no_o_id = o_id
            where o_id is null or (o_carrier_id is null) <> (no_o_id is not null)",
    },
    Condition {
        name: "6: o_ol_cnt = the order's lines",
        offending: "select count(*) from orders
            full join (select ol_w_id, ol_d_id, ol_o_id, count(*) as n from order_line group by ol_w_id, ol_d_id, ol_o_id) l
                on ol_w_id = o_w_id and ol_d_id = o_d_id and ol_o_id = o_id
            where o_id is null or n is null or o_ol_cnt <> n",
    },
    Condition {
        name: "7: ol_delivery_d is null = o_carrier_id is null",
        offending: "select count(*) from order_line
            left join orders on o_w_id = ol_w_id and o_d_id = ol_d_id and o_id = ol_o_id
            where o_id is null or (ol_delivery_d is null) <> (o_carrier_id is null)",
    },
    Condition {
        name: "8: w_ytd = sum(h_amount)",
        offending: "select count(*) from warehouse
            full join (select h_w_id, sum(h_amount) as paid from history group by h_w_id) h on h_w_id = w_id
            where w_id is null or paid is null or w_ytd <> paid",
    },
    Condition {
        name: "9: d_ytd = sum(h_amount)",
        offending: "select count(*) from district
            full join (select h_w_id, h_d_id, sum(h_amount) as paid from history group by h_w_id, h_d_id) h
                on h_w_id = d_w_id and h_d_id = d_id
            where d_id is null or paid is null or d_ytd <> paid",
    },
    Condition {
        name: "10: c_balance = sum(ol_amount delivered) - sum(h_amount)",
        offending: "select count(*) from customer
            left join (
                select o_w_id, o_d_id, o_c_id, sum(ol_amount) as bought
                from orders join order_line on ol_w_id = o_w_id and ol_d_id = o_d_id and ol_o_id = o_id
                where ol_delivery_d is not null group by o_w_id, o_d_id, o_c_id) o
                on o_w_id = c_w_id and o_d_id = c_d_id and o_c_id = c_id
            left join (
                select h_c_w_id, h_c_d_id, h_c_id, sum(h_amount) as paid
                from history group by h_c_w_id, h_c_d_id, h_c_id) h
                on h_c_w_id = c_w_id and h_c_d_id = c_d_id and h_c_id = c_id
            where c_balance <> coalesce(bought, 0) - coalesce(paid, 0)",
    },
    Condition {
        name: "11: orders - new orders = 2100 + sum(c_delivery_cnt)",
        offending: "select count(*) from district
            left join (select o_w_id, o_d_id, count(*) as made from orders group by o_w_id, o_d_id) o
                on o_w_id = d_w_id and o_d_id = d_id
            left join (select no_w_id, no_d_id, count(*) as waiting from new_order group by no_w_id, no_d_id) n
                on no_w_id = d_w_id and no_d_id = d_id
            left join (select c_w_id, c_d_id, sum(c_delivery_cnt) as delivered from customer group by c_w_id, c_d_id) c
                on c_w_id = d_w_id and c_d_id = d_id
            where coalesce(made, 0) - coalesce(waiting, 0) <> 2100 + coalesce(delivered, 0)",
    },
    Condition {
        name: "12: c_balance + c_ytd_payment = sum(ol_amount delivered)",
        offending: "select count(*) from customer
            left join (
                select o_w_id, o_d_id, o_c_id, sum(ol_amount) as bought
                from orders join order_line on ol_w_id = o_w_id and ol_d_id = o_d_id and ol_o_id = o_id
                where ol_delivery_d is not null group by o_w_id, o_d_id, o_c_id) o
                on o_w_id = c_w_id and o_d_id = c_d_id and o_c_id = c_id
            where c_balance + c_ytd_payment <> coalesce(bought, 0)",
    },
];

/// What a condition's query found.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) condition: String,
    pub(crate) holds: bool,
    /// Rows, districts or warehouses that break it.
    pub(crate) offending: u64,
}

/// Asks for every condition. Without `warehouses`, there may be any number of them but none. Errors: the server's.
pub(crate) async fn check(target: &Target, warehouses: Option<u32>) -> Result<Vec<Verdict>, BenchError> {
    let session = target.connect().await?;
    session.run("begin a snapshot", "begin isolation level repeatable read").await?;
    let mut verdicts = vec![cardinality(&session, warehouses).await?];
    for Condition { name, offending } in CONDITIONS {
        verdicts.push(verdict(name, count(&session, name, offending).await?));
    }
    session.run("end the snapshot", "commit").await?;
    Ok(verdicts)
}

async fn cardinality(session: &Session, warehouses: Option<u32>) -> Result<Verdict, BenchError> {
    let rows = async |table: &str| count(session, &format!("count {table}"), &format!("select count(*) from {table}")).await;
    let found = rows("warehouse").await?;
    let all = warehouses.map_or(found, Into::into);
    let districts = all * u64::from(DISTRICTS);
    let wanted = [
        ("district", districts),
        ("customer", districts * u64::from(CUSTOMERS)),
        ("stock", all * u64::from(ITEMS)),
        ("item", ITEMS.into()),
    ];
    let mut missing = found.abs_diff(all) + u64::from(found == 0);
    for (table, wanted) in wanted {
        missing += rows(table).await?.abs_diff(wanted);
    }
    // No order is ever deleted.
    missing += (districts * u64::from(CUSTOMERS)).saturating_sub(rows("orders").await?);
    Ok(verdict(&format!("0: the rows of {all} warehouses"), missing))
}

fn verdict(condition: &str, offending: u64) -> Verdict {
    Verdict { condition: condition.to_owned(), holds: offending == 0, offending }
}

async fn count(session: &Session, what: &str, sql: &str) -> Result<u64, BenchError> {
    let text = session.text_value(what, sql).await?;
    text.parse().map_err(|_| BenchError::Statement { what: what.to_owned(), reason: format!("{text} is no count") })
}

/// The verdicts for people.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut grid = Grid::new([("condition", Align::Left), ("", Align::Left), ("offending", Align::Right)]);
    for Verdict { condition, holds, offending } in verdicts {
        let word = if *holds { "holds" } else { "BROKEN" };
        grid.row([condition.clone(), word.to_owned(), offending.to_string()]);
    }
    grid.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DELIVERED;

    #[test]
    fn the_conditions_are_the_twelve_in_order() {
        for (number, condition) in (1..).zip(&CONDITIONS) {
            assert!(condition.name.starts_with(&format!("{number}: ")), "{}", condition.name);
        }
        // The query of condition 11 has the number in it.
        assert!(CONDITIONS[10].offending.contains(&format!("<> {DELIVERED} + ")));
    }
}

//! The SQL of the five transactions, in plain statements that any PostgreSQL-wire server may know.

pub(crate) const BEGIN: &str = "begin";
pub(crate) const COMMIT: &str = "commit";

// New-Order
pub(crate) const WAREHOUSE_TAX: &str = "select w_tax from warehouse where w_id = $1";
pub(crate) const NEXT_ORDER: &str = "update district set d_next_o_id = d_next_o_id + 1 where d_w_id = $1 and d_id = $2 \
     returning d_next_o_id, d_tax";
pub(crate) const BUYER: &str =
    "select c_discount, c_last, c_credit from customer where c_w_id = $1 and c_d_id = $2 and c_id = $3";
pub(crate) const INSERT_ORDER: &str = "insert into orders (o_id, o_d_id, o_w_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local) \
     values ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const INSERT_NEW_ORDER: &str = "insert into new_order (no_o_id, no_d_id, no_w_id) values ($1, $2, $3)";
pub(crate) const ITEM: &str = "select i_price, i_name, i_data from item where i_id = $1";
pub(crate) const UPDATE_STOCK: &str = "update stock set s_quantity = $3, s_ytd = s_ytd + $4, s_order_cnt = s_order_cnt + 1, \
     s_remote_cnt = s_remote_cnt + $5 where s_w_id = $1 and s_i_id = $2";
pub(crate) const INSERT_ORDER_LINE: &str = "insert into order_line \
     (ol_o_id, ol_d_id, ol_w_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_dist_info) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

macro_rules! stock_of {
    ($($district:literal),*) => {
        [$(concat!("select s_quantity, s_data, s_dist_", $district, " from stock where s_w_id = $1 and s_i_id = $2 for update")),*]
    };
}
/// One for each district, from the first on.
pub(crate) const STOCK: [&str; 10] = stock_of!("01", "02", "03", "04", "05", "06", "07", "08", "09", "10");

// Payment
pub(crate) const PAY_WAREHOUSE: &str = "update warehouse set w_ytd = w_ytd + $2 where w_id = $1 \
     returning w_name, w_street_1, w_street_2, w_city, w_state, w_zip";
pub(crate) const PAY_DISTRICT: &str = "update district set d_ytd = d_ytd + $3 where d_w_id = $1 and d_id = $2 \
     returning d_name, d_street_1, d_street_2, d_city, d_state, d_zip";
pub(crate) const PAYER: &str = "select c_first, c_middle, c_last, c_street_1, c_street_2, c_city, c_state, c_zip, c_phone, c_since, \
     c_credit, c_credit_lim, c_discount, c_balance from customer where c_w_id = $1 and c_d_id = $2 and c_id = $3 for update";
pub(crate) const PAYER_DATA: &str = "select c_data from customer where c_w_id = $1 and c_d_id = $2 and c_id = $3";
pub(crate) const PAY: &str = "update customer set c_balance = c_balance - $4, c_ytd_payment = c_ytd_payment + $4, \
     c_payment_cnt = c_payment_cnt + 1 where c_w_id = $1 and c_d_id = $2 and c_id = $3";
pub(crate) const PAY_BAD: &str = "update customer set c_balance = c_balance - $4, c_ytd_payment = c_ytd_payment + $4, \
     c_payment_cnt = c_payment_cnt + 1, c_data = $5 where c_w_id = $1 and c_d_id = $2 and c_id = $3";
pub(crate) const INSERT_HISTORY: &str = "insert into history \
     (h_c_id, h_c_d_id, h_c_w_id, h_d_id, h_w_id, h_date, h_amount, h_data) values ($1, $2, $3, $4, $5, $6, $7, $8)";

// Payment and Order-Status
pub(crate) const NAMESAKES: &str = "select c_id from customer where c_w_id = $1 and c_d_id = $2 and c_last = $3 order by c_first";

// Order-Status
pub(crate) const CUSTOMER: &str = "select c_balance, c_first, c_middle, c_last from customer \
     where c_w_id = $1 and c_d_id = $2 and c_id = $3";
pub(crate) const LAST_ORDER: &str = "select o_id, o_entry_d, o_carrier_id from orders \
     where o_w_id = $1 and o_d_id = $2 and o_c_id = $3 order by o_id desc limit 1";
pub(crate) const ORDER_LINES: &str = "select ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d from order_line \
     where ol_w_id = $1 and ol_d_id = $2 and ol_o_id = $3";

// Delivery
pub(crate) const OLDEST: &str =
    "select no_o_id from new_order where no_w_id = $1 and no_d_id = $2 order by no_o_id limit 1 for update";
pub(crate) const DELETE_NEW_ORDER: &str = "delete from new_order where no_w_id = $1 and no_d_id = $2 and no_o_id = $3";
pub(crate) const CARRY: &str =
    "update orders set o_carrier_id = $4 where o_w_id = $1 and o_d_id = $2 and o_id = $3 returning o_c_id";
pub(crate) const DELIVER_LINES: &str =
    "update order_line set ol_delivery_d = $4 where ol_w_id = $1 and ol_d_id = $2 and ol_o_id = $3";
pub(crate) const ORDER_TOTAL: &str = "select sum(ol_amount) from order_line where ol_w_id = $1 and ol_d_id = $2 and ol_o_id = $3";
pub(crate) const CHARGE: &str = "update customer set c_balance = c_balance + $4, c_delivery_cnt = c_delivery_cnt + 1 \
     where c_w_id = $1 and c_d_id = $2 and c_id = $3";

// Stock-Level
pub(crate) const DISTRICT_NEXT_ORDER: &str = "select d_next_o_id from district where d_w_id = $1 and d_id = $2";
pub(crate) const LOW_STOCK: &str = "select count(distinct s_i_id) from order_line, stock \
     where ol_w_id = $1 and ol_d_id = $2 and ol_o_id >= $3 and ol_o_id < $4 \
     and s_w_id = $1 and s_i_id = ol_i_id and s_quantity < $5";

/// All of them, to be prepared.
pub(crate) fn all() -> Vec<&'static str> {
    let others = [
        BEGIN,
        COMMIT,
        WAREHOUSE_TAX,
        NEXT_ORDER,
        BUYER,
        INSERT_ORDER,
        INSERT_NEW_ORDER,
        ITEM,
        UPDATE_STOCK,
        INSERT_ORDER_LINE,
        PAY_WAREHOUSE,
        PAY_DISTRICT,
        PAYER,
        PAYER_DATA,
        PAY,
        PAY_BAD,
        INSERT_HISTORY,
        NAMESAKES,
        CUSTOMER,
        LAST_ORDER,
        ORDER_LINES,
        OLDEST,
        DELETE_NEW_ORDER,
        CARRY,
        DELIVER_LINES,
        ORDER_TOTAL,
        CHARGE,
        DISTRICT_NEXT_ORDER,
        LOW_STOCK,
    ];
    STOCK.into_iter().chain(others).collect()
}

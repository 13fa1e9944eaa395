//! From syntax to PostgreSQL's tree: types, and the casts that come of them.

use catalog::Table;
use sqlparser::ast::{
    BinaryOperator, CastKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, TrimWhereField,
    UnaryOperator, Value,
};
use types::SqlType;

use super::shown::Node;
use super::values::{
    Typed, alike, arithmetic_type, as_text, cast, common, common_type, constant, literal_of, null, settled, typed, wider,
};
use crate::names::quote_ident;
use crate::parse::sql_type;

pub(super) struct Tree<'a> {
    pub(super) table: &'a Table,
}

fn pair(left: Node, right: Node) -> Box<[Node; 2]> {
    Box::new([left, right])
}

impl Tree<'_> {
    /// What is not known is left as it was written.
    pub(super) fn node(&self, expr: &Expr) -> Typed {
        self.known(expr).unwrap_or_else(|| typed(Node::Leaf(expr.to_string()), None))
    }

    fn known(&self, expr: &Expr) -> Option<Typed> {
        let test = |inner: &Expr, what| typed(Node::Test(Box::new(self.node(inner).node), what), SqlType::Bool);
        Some(match expr {
            Expr::Nested(inner) => self.node(inner),
            Expr::Identifier(ident) => {
                let column = &self.table.columns[self.table.column(&ident.value)?];
                typed(Node::Leaf(quote_ident(&column.name)), column.data_type)
            }
            Expr::Value(value) => constant(&value.value)?,
            Expr::TypedString(string) => {
                let t = sql_type(&string.data_type).ok()?;
                let Value::SingleQuotedString(literal) = &string.value.value else { return None };
                typed(literal_of(literal, t), t)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => typed(negated(self.node(expr).node), SqlType::Bool),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.negative(expr),
            Expr::IsNull(inner) => test(inner, " IS NULL"),
            Expr::IsNotNull(inner) => test(inner, " IS NOT NULL"),
            Expr::IsTrue(inner) => test(inner, " IS TRUE"),
            Expr::IsNotTrue(inner) => test(inner, " IS NOT TRUE"),
            Expr::IsFalse(inner) => test(inner, " IS FALSE"),
            Expr::IsNotFalse(inner) => test(inner, " IS NOT FALSE"),
            Expr::IsUnknown(inner) => test(inner, " IS UNKNOWN"),
            Expr::IsNotUnknown(inner) => test(inner, " IS NOT UNKNOWN"),
            Expr::IsDistinctFrom(left, right) => typed(self.distinct(left, right), SqlType::Bool),
            Expr::IsNotDistinctFrom(left, right) => typed(negated(self.distinct(left, right)), SqlType::Bool),
            Expr::Between { expr, negated, low, high } => {
                let (low_operator, high_operator) = if *negated { ("<", ">") } else { (">=", "<=") };
                let low = self.operation(self.node(expr), low_operator, self.node(low)).node;
                let high = self.operation(self.node(expr), high_operator, self.node(high)).node;
                typed(if *negated { Node::Or(vec![low, high]) } else { Node::And(vec![low, high]) }, SqlType::Bool)
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, if *negated { "!~~" } else { "~~" }, pattern)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
                self.like(expr, if *negated { "!~~*" } else { "~~*" }, pattern)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right)?,
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
                let to = sql_type(data_type).ok()?;
                let inner = self.node(expr);
                if inner.literal.is_some() || inner.data_type == Some(to) { settled(inner, to) } else { cast(inner, to) }
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let results = || conditions.iter().map(|c| &c.result).chain(else_result.as_deref());
                let common = common_type(&results().map(|result| self.node(result)).collect::<Vec<_>>());
                let result = |expr: &Expr| settled(self.node(expr), common).node;
                let when = |expr: &Expr| match operand {
                    Some(operand) => match self.operation(self.node(operand), "=", self.node(expr)).node {
                        Node::Operator(operands, _) => {
                            let [_, value] = *operands;
                            value
                        }
                        other => other,
                    },
                    None => self.node(expr).node,
                };
                let node = Node::Case {
                    operand: operand.as_ref().map(|operand| Box::new(self.node(operand).node)),
                    branches: conditions.iter().map(|c| [when(&c.condition), result(&c.result)]).collect(),
                    otherwise: Box::new(match else_result {
                        Some(expr) => result(expr),
                        None => settled(null(), common).node,
                    }),
                };
                typed(node, common)
            }
            Expr::Extract { field, expr, .. } => {
                let form = format!("EXTRACT({} FROM %)", field_name(field));
                typed(Node::Call(form, vec![self.node(expr).node]), SqlType::NUMERIC)
            }
            Expr::Position { expr, r#in } => {
                // Its operands stand in parentheses of their own.
                let operands = [self.string(expr), self.string(r#in)];
                typed(Node::Call("POSITION((%) IN (%))".into(), operands.into()), SqlType::Int4)
            }
            Expr::Substring { expr, substring_from, substring_for, special, shorthand } => {
                let mut arguments = vec![self.string(expr)];
                arguments.extend([substring_from, substring_for].into_iter().flatten().map(|part| self.node(part).node));
                let form = match arguments.len() {
                    n if *special => call_form(if *shorthand { "substr" } else { "\"substring\"" }, n),
                    3 => "SUBSTRING(% FROM % FOR %)".to_owned(),
                    2 => "SUBSTRING(% FROM %)".to_owned(),
                    _ => return None,
                };
                typed(Node::Call(form, arguments), SqlType::Text)
            }
            Expr::Trim { expr, trim_where, trim_what, trim_characters: None } => {
                let side = match trim_where {
                    None | Some(TrimWhereField::Both) => "BOTH",
                    Some(TrimWhereField::Leading) => "LEADING",
                    Some(TrimWhereField::Trailing) => "TRAILING",
                };
                let (form, arguments) = match trim_what {
                    Some(what) => (format!("TRIM({side} % FROM %)"), vec![self.string(what), self.string(expr)]),
                    None => (format!("TRIM({side} FROM %)"), vec![self.string(expr)]),
                };
                typed(Node::Call(form, arguments), SqlType::Text)
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let value = self.node(timestamp);
                let to = match value.data_type {
                    Some(SqlType::TimestampTz) => Some(SqlType::Timestamp),
                    Some(SqlType::Timestamp) => Some(SqlType::TimestampTz),
                    _ => None,
                };
                typed(Node::Call("(% AT TIME ZONE %)".into(), vec![value.node, self.string(time_zone)]), to)
            }
            Expr::Function(function) => self.function(function)?,
            _ => return None,
        })
    }

    fn negative(&self, expr: &Expr) -> Typed {
        let inner = self.node(expr);
        if let (Node::Leaf(digits), Expr::Value(_), Some(t)) = (&inner.node, expr, inner.data_type) {
            return typed(literal_of(&format!("-{digits}"), t), t);
        }
        let t = inner.data_type;
        typed(Node::Prefix("-", Box::new(inner.node)), t)
    }

    fn distinct(&self, left: &Expr, right: &Expr) -> Node {
        let (left, right) = alike(self.node(left), self.node(right));
        Node::Distinct(pair(left.node, right.node))
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool) -> Typed {
        let value = self.node(expr);
        let (operator, how) = if negated { ("<>", "<> ALL") } else { ("=", "= ANY") };
        if let [one] = list {
            return self.operation(value, operator, self.node(one));
        }
        let elements: Vec<Typed> = list.iter().map(|element| self.node(element)).collect();
        let is_varchar = matches!(value.data_type, Some(SqlType::Varchar(_)));
        let wanted = match value.data_type {
            Some(SqlType::Varchar(_)) => Some(SqlType::Varchar(0)),
            of_value => wider(of_value, common(elements.iter())),
        };
        let array = Node::Array(elements.into_iter().map(|element| settled(element, wanted).node).collect());
        let array = if is_varchar { Node::Cast(Box::new(array), "text[]".into()) } else { array };
        let value = if is_varchar { settled(value, SqlType::Text) } else { settled(value, wanted) };
        typed(Node::Any(pair(value.node, array), how), SqlType::Bool)
    }

    fn like(&self, expr: &Expr, operator: &str, pattern: &Expr) -> Typed {
        let value = self.node(expr);
        let value = match value.data_type {
            Some(SqlType::Char(_)) => value.node,
            _ => as_text(value),
        };
        typed(Node::Operator(pair(value, self.string(pattern)), operator.into()), SqlType::Bool)
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Typed> {
        let operator = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let mut terms = Vec::new();
                terms_of(left, op, &mut terms);
                terms_of(right, op, &mut terms);
                // Of terms in parentheses PostgreSQL takes only the first ones apart.
                while let Some(Expr::Nested(_)) = terms.first()
                    && let first @ Expr::BinaryOp { op: of_first, .. } = unnested(terms[0])
                    && of_first == op
                {
                    let rest = terms.split_off(1);
                    terms.clear();
                    terms_of(first, op, &mut terms);
                    terms.extend(rest);
                }
                let parts = terms.into_iter().map(|term| self.node(term).node).collect();
                return Some(typed(if *op == BinaryOperator::And { Node::And(parts) } else { Node::Or(parts) }, SqlType::Bool));
            }
            BinaryOperator::StringConcat => {
                let side = |value: Typed| match value.data_type {
                    Some(SqlType::Varchar(_) | SqlType::Char(_)) => as_text(value),
                    None if value.literal.is_some() => as_text(value),
                    _ => value.node,
                };
                let operands = pair(side(self.node(left)), side(self.node(right)));
                return Some(typed(Node::Operator(operands, "||".into()), SqlType::Text));
            }
            BinaryOperator::Eq => "=",
            BinaryOperator::NotEq => "<>",
            BinaryOperator::Lt => "<",
            BinaryOperator::LtEq => "<=",
            BinaryOperator::Gt => ">",
            BinaryOperator::GtEq => ">=",
            BinaryOperator::Plus => "+",
            BinaryOperator::Minus => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Modulo => "%",
            _ => return None,
        };
        Some(self.operation(self.node(left), operator, self.node(right)))
    }

    fn operation(&self, left: Typed, operator: &str, right: Typed) -> Typed {
        let result = match operator {
            "+" | "-" | "*" | "/" | "%" => arithmetic_type(left.data_type, operator, right.data_type),
            _ => Some(SqlType::Bool),
        };
        let (left, right) = alike(left, right);
        typed(Node::Operator(pair(left.node, right.node), operator.into()), result)
    }

    fn string(&self, expr: &Expr) -> Node {
        as_text(self.node(expr))
    }

    fn function(&self, function: &Function) -> Option<Typed> {
        let [part] = function.name.0.as_slice() else { return None };
        let name = part.as_ident()?.value.as_str();
        let FunctionArguments::List(list) = &function.args else { return None };
        let arguments: Option<Vec<&Expr>> = list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect();
        let arguments: Vec<Typed> = arguments?.into_iter().map(|argument| self.node(argument)).collect();
        let first = arguments.first().and_then(|argument| argument.data_type);
        if matches!(name, "coalesce" | "nullif" | "greatest" | "least") {
            let wanted = common_type(&arguments);
            let form = call_form(&name.to_ascii_uppercase(), arguments.len());
            let arguments = arguments.into_iter().map(|argument| settled(argument, wanted).node).collect();
            return Some(typed(Node::Call(form, arguments), wanted));
        }
        let result = match name {
            "lower" | "upper" | "initcap" | "substr" | "substring" | "btrim" | "ltrim" | "rtrim" | "replace" | "left"
            | "right" | "reverse" | "split_part" | "lpad" | "rpad" | "repeat" | "md5" | "concat" => Some(SqlType::Text),
            "length" | "char_length" | "character_length" | "octet_length" | "strpos" | "ascii" => Some(SqlType::Int4),
            "starts_with" => Some(SqlType::Bool),
            "abs" | "mod" | "round" | "trunc" | "ceil" | "ceiling" | "floor" | "sign" => first,
            "sqrt" | "exp" | "ln" | "power" | "sin" | "cos" | "tan" => Some(SqlType::Float8),
            "date_trunc" => arguments.get(1).and_then(|a| a.data_type),
            _ => None,
        };
        let takes_text = matches!(result, Some(SqlType::Text | SqlType::Bool)) || matches!(name, "strpos" | "ascii" | "length");
        let argument = |value: Typed| match value.data_type {
            Some(SqlType::Varchar(_)) if takes_text => as_text(value),
            Some(SqlType::Char(_)) if takes_text && name != "length" => as_text(value),
            None if value.literal.is_some() => as_text(value),
            _ => value.node,
        };
        let form = call_form(&quote_ident(name), arguments.len());
        Some(typed(Node::Call(form, arguments.into_iter().map(argument).collect()), result))
    }
}

fn call_form(name: &str, arguments: usize) -> String {
    format!("{name}({})", vec!["%"; arguments].join(", "))
}

fn negated(node: Node) -> Node {
    Node::Not(Box::new(node))
}

/// The terms of a row of ANDs or ORs, however it leans.
fn terms_of<'a>(expr: &'a Expr, op: &BinaryOperator, terms: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryOp { left, op: of_expr, right } if of_expr == op => {
            terms_of(left, op, terms);
            terms_of(right, op, terms);
        }
        other => terms.push(other),
    }
}

fn unnested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().to_ascii_lowercase()
}

// What JDBC does, one line per step. A line "?" asks whoever started this to let a stranger in, and goes on when a line
// comes back. Arguments: the URL, the user and the password.
import java.sql.*;
import java.util.*;

public class Story {
    static void meanwhile() throws Exception {
        System.out.println("?");
        System.in.read();
    }

    static void tell(Object... what) {
        System.out.println(Arrays.deepToString(what));
    }

    interface Step {
        Object run() throws Exception;
    }

    static void wrong(Step step) throws Exception {
        try {
            tell("went well", step.run());
        } catch (SQLException error) {
            tell(error.getSQLState(), error.getMessage());
        }
    }

    static List<Object> rows(ResultSet result) throws SQLException {
        List<Object> rows = new ArrayList<>();
        while (result.next()) {
            rows.add(result.getObject(1));
        }
        return rows;
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection c = DriverManager.getConnection(arguments[0], arguments[1], arguments[2])) {
            statements(c);
            transactions(c);
            batches(c);
            settings(c);
        }
    }

    static void statements(Connection c) throws Exception {
        try (PreparedStatement p = c.prepareStatement("SELECT ?::int + 1, ?::text, ?::numeric")) {
            for (int turn = 0; turn < 8; turn++) { // from the fifth on it has a name
                p.setInt(1, turn);
                p.setString(2, turn % 2 == 0 ? "ü" : null);
                p.setBigDecimal(3, new java.math.BigDecimal("1.50"));
                ResultSet result = p.executeQuery();
                result.next();
                tell(result.getInt(1), result.getString(2), result.getBigDecimal(3), result.getMetaData().getColumnTypeName(2));
                meanwhile();
            }
        }
        try (Statement s = c.createStatement()) {
            wrong(() -> s.executeQuery("SELECT 1/0"));
            wrong(() -> s.executeQuery("SELECT FROM FROM"));
            wrong(() -> s.executeUpdate("INSERT INTO notes (v) VALUES (NULL)"));
            meanwhile();
            tell(s.execute("SELECT 1; SELECT 2"), s.getMoreResults());
            s.execute("DROP TABLE IF EXISTS not_there");
            tell(s.getWarnings() == null ? null : s.getWarnings().getMessage());
        }
    }

    static void transactions(Connection c) throws Exception {
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(10); // a portal, in parts
            List<Object> ids = rows(s.executeQuery("SELECT id FROM items ORDER BY id"));
            tell(ids.size(), ids.get(999));
            Savepoint point = c.setSavepoint();
            wrong(() -> s.executeQuery("SELECT 1/0"));
            c.rollback(point);
            tell(s.executeUpdate("INSERT INTO notes (v) VALUES ('kept')"));
            c.commit();
            meanwhile();
            s.executeUpdate("INSERT INTO notes (v) VALUES ('lost')");
            c.rollback();
            meanwhile();
            tell(rows(s.executeQuery("SELECT v FROM notes ORDER BY id")));
            c.commit();
        }
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        c.setReadOnly(true);
        meanwhile();
        try (Statement s = c.createStatement()) {
            tell(rows(s.executeQuery("SHOW transaction_isolation")));
            wrong(() -> s.executeUpdate("INSERT INTO notes (v) VALUES ('no')"));
            c.rollback();
        }
        c.setReadOnly(false);
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.setAutoCommit(true);
        meanwhile();
    }

    static void batches(Connection c) throws Exception {
        try (PreparedStatement p = c.prepareStatement("INSERT INTO notes (v) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int n = 0; n < 300; n++) {
                p.setString(1, "row " + n);
                p.addBatch();
            }
            tell(p.executeBatch().length, rows(p.getGeneratedKeys()).size());
            meanwhile();
            p.setString(1, "good");
            p.addBatch();
            p.setString(1, null);
            p.addBatch();
            wrong(() -> p.executeBatch());
            meanwhile();
        }
        org.postgresql.copy.CopyManager copy = c.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
        tell(copy.copyIn("COPY notes (v) FROM STDIN", new java.io.StringReader("a\nb\n")));
        wrong(() -> copy.copyIn("COPY notes (id) FROM STDIN", new java.io.StringReader("x\n")));
        java.io.StringWriter out = new java.io.StringWriter();
        copy.copyOut("COPY (SELECT v FROM notes WHERE v < 'c' ORDER BY v) TO STDOUT", out);
        tell(out.toString());
        meanwhile();
    }

    static void settings(Connection c) throws Exception {
        c.setSchema("of_java");
        meanwhile();
        tell(c.getSchema());
        c.setClientInfo("ApplicationName", "story");
        try (Statement s = c.createStatement()) {
            tell(rows(s.executeQuery("SHOW search_path")), rows(s.executeQuery("SHOW application_name")));
            s.execute("SET TimeZone = 'Asia/Tokyo'");
            meanwhile();
            ResultSet result = s.executeQuery("SELECT '2026-01-02 00:00Z'::timestamptz::text, now() > '2000-01-01'");
            result.next();
            tell(result.getString(1), result.getBoolean(2));
            s.setQueryTimeout(1);
            wrong(() -> s.executeQuery("SELECT pg_sleep(60)"));
            tell(rows(s.executeQuery("SELECT 3")), c.isValid(5));
        }
        DatabaseMetaData about = c.getMetaData();
        tell(rows(about.getTables(null, "public", "notes", null)).size(), about.getUserName());
    }
}

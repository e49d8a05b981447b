<?php
// What PHP's two drivers do, PDO and pgsql, one line of JSON per step. A line "?" asks whoever started this to let a
// stranger in, and goes on when a line comes back. Where to connect to is in the environment, as libpq reads it.

function tell(...$what) {
    fwrite(STDOUT, json_encode($what, JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR) . "\n");
}

function meanwhile() {
    fwrite(STDOUT, "?\n");
    fgets(STDIN);
}

function wrong($what) {
    try {
        tell('went well', $what());
    } catch (PDOException $error) {
        tell($error->getCode(), preg_replace('/oid \d+/', 'oid', $error->getMessage()));
    }
}

function connect($options = []) {
    return new PDO('pgsql:', null, null, $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
                                                     PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM]);
}

// Statements are prepared when they are first executed, and freed by DEALLOCATE.
function with_pdo($options) {
    $pdo = connect($options);
    for ($turn = 0; $turn < 3; $turn++) {
        $statement = $pdo->prepare('SELECT id, v FROM items WHERE id < ? ORDER BY id');
        foreach ([2, 4] as $limit) {
            $statement->execute([$limit]);
            tell($statement->fetchAll(), $statement->rowCount(), $statement->columnCount());
            meanwhile();
        }
        $statement = null;
        meanwhile();
    }
    $insert = $pdo->prepare('INSERT INTO notes (v) VALUES (:v) RETURNING id');
    $pdo->beginTransaction();
    foreach (['a', 'ü', "it's \\ ?"] as $value) {
        $insert->bindValue(':v', $value);
        $insert->execute();
        tell($insert->fetchColumn(), $pdo->lastInsertId());
    }
    $pdo->commit();
    meanwhile();
    wrong(fn() => $insert->execute([':v' => null]));
    wrong(fn() => $pdo->query('SELECT FROM FROM'));
    wrong(fn() => $pdo->query('SELECT 1/0'));
    meanwhile();
    $pdo->beginTransaction();
    $insert->execute([':v' => 'lost']);
    tell($pdo->inTransaction());
    wrong(fn() => $pdo->exec('SELECT nothing'));
    wrong(fn() => $insert->execute([':v' => 'not done']));
    $pdo->rollBack();
    meanwhile();
    tell($pdo->query('SELECT v FROM notes ORDER BY id')->fetchAll(), $pdo->exec("UPDATE notes SET v = v || '!'"));
    tell($pdo->exec('SET work_mem = \'7MB\'; SELECT 1'), $pdo->query('SHOW work_mem')->fetchColumn());
    meanwhile();
    tell($pdo->query('SHOW work_mem')->fetchColumn());
}

function with_more($options) {
    $pdo = connect($options);
    tell($pdo->pgsqlCopyFromArray('notes', ["100\tcopied", "101\ttoo"], "\t"), $pdo->pgsqlCopyToArray('notes'));
    meanwhile();
    $pdo->beginTransaction();
    $cursor = $pdo->prepare('SELECT id FROM items ORDER BY id', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $cursor->execute();
    tell($cursor->fetch(), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 500), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST));
    $cursor = null;
    $pdo->commit();
    meanwhile();
    $binary = $pdo->prepare("SELECT encode(?, 'hex'), ?::bool, ?::int");
    $binary->bindValue(1, "\0\xff'", PDO::PARAM_LOB);
    $binary->bindValue(2, true, PDO::PARAM_BOOL);
    $binary->bindValue(3, null, PDO::PARAM_NULL);
    $binary->execute();
    tell($binary->fetch(), $binary->getColumnMeta(0)['native_type'] ?? null);
    meanwhile();
    tell($binary->getColumnMeta(0)['native_type'] ?? null);
}

// The older driver, by the functions of libpq.
function with_pgsql() {
    $c = pg_connect('');
    pg_prepare($c, 'mine', 'SELECT $1::int + 1');
    for ($turn = 0; $turn < 3; $turn++) {
        tell(pg_fetch_row(pg_execute($c, 'mine', [$turn])), pg_fetch_all(pg_query_params($c, 'SELECT $1::text AS x', ['ü'])));
        meanwhile();
    }
    tell(@pg_prepare($c, 'mine', 'SELECT 2'), pg_last_error($c));
    pg_send_query($c, 'SELECT 1; SELECT 1/0; SELECT 2');
    while ($result = pg_get_result($c)) {
        tell(pg_result_status($result), pg_result_error_field($result, PGSQL_DIAG_SQLSTATE));
    }
    meanwhile();
    tell(pg_copy_from($c, 'notes', ["200\tx\n", "201\ty\n"]), pg_copy_to($c, 'notes'), pg_parameter_status($c, 'TimeZone'));
    tell(pg_insert($c, 'notes', ['id' => 300, 'v' => 'by name']), pg_select($c, 'notes', ['id' => 300]), pg_transaction_status($c));
    meanwhile();
    pg_query($c, 'BEGIN');
    $oid = pg_lo_create($c);
    $large = pg_lo_open($c, $oid, 'w');
    tell(pg_lo_write($large, str_repeat('x', 100000)), pg_lo_seek($large, 10), pg_lo_tell($large));
    pg_query($c, 'ROLLBACK');
    tell(pg_ping($c), pg_client_encoding($c), pg_set_client_encoding($c, 'LATIN1'), pg_fetch_row(pg_query($c, 'SHOW client_encoding')));
}

$which = $argv[1];
if ($which === 'pdo') {
    with_pdo([]);
} elseif ($which === 'emulated') {
    with_pdo([PDO::ATTR_EMULATE_PREPARES => true]);
} elseif ($which === 'unnamed') {
    with_pdo([PDO::PGSQL_ATTR_DISABLE_PREPARES => true]);
} elseif ($which === 'more') {
    with_more([]);
} else {
    with_pgsql();
}

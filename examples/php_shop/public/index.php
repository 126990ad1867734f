<?php
require __DIR__ . '/../ring.php';

const GOODS = ['pears' => 'Pears', 'apples' => 'Apples', 'quinces' => 'Quinces'];

// A page that cannot read or store its session says so; it shows no empty basket.
set_exception_handler(fn () => refuse());
function refuse(): never
{
    http_response_code(503);
    header('retry-after: 1');
    exit('Please try again in a moment.');
}

session_start() || refuse();
$basket = $_SESSION['basket'] ?? [];

if ($_SERVER['REQUEST_METHOD'] === 'POST' && isset(GOODS[$_POST['put'] ?? ''])) {
    $basket[$_POST['put']] = ($basket[$_POST['put']] ?? 0) + 1;
    $_SESSION['basket'] = $basket;
    // Closed before anything is answered: what the customer sees done is on two nodes.
    session_write_close() || refuse();
    header('location: /', true, 303);
    exit;
}
session_write_close() || refuse();
?>
<!doctype html>
<title>Fruit</title>
<h1>Your basket</h1>
<ul>
<?php foreach ($basket as $what => $number) { ?>
  <li><?= $number ?> <?= GOODS[$what] ?></li>
<?php } ?>
</ul>
<p><?= $basket ? array_sum($basket) . ' in all' : 'It is empty.' ?></p>
<form method="post">
<?php foreach (GOODS as $what => $name) { ?>
  <button name="put" value="<?= $what ?>"><?= $name ?></button>
<?php } ?>
</form>

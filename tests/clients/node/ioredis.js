// ioredis as a session store of one's own: documents under random names, with an end.
const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const net = require('node:net')
const { setTimeout: sleep } = require('node:timers/promises')
const { Redis } = require('ioredis')
const { ask, at, nodes, run } = require('./story.js')

const LIFETIME = 1800

// Each new attempt is at the next node: every one serves every key. What had no answer is asked again there.
function ring(nodes) {
  let attempts = 0
  const client = new Redis({
    ...at(nodes[0]),
    retryStrategy: () => {
      Object.assign(client.options, at(nodes[++attempts % nodes.length]))
      return 50
    },
    // A node that leaves says READONLY: 2 is to connect anew, and to ask again there.
    reconnectOnError: (error) => (/^READONLY/.test(error.message) ? 2 : false),
  })
  client.on('error', (lost) => console.error(`connecting again: ${lost.message}`))
  return client
}

async function begin(client, user) {
  const name = `session:${randomUUID()}`
  assert.equal(await client.set(name, JSON.stringify({ user, count: 0 }), 'EX', LIFETIME, 'NX'), 'OK')
  return name
}

// The whole document: ioredis sends it again if the connection closes before the answer, and twice is as once.
async function count(client, name) {
  const stored = await client.get(name)
  assert(stored, `${name}: expected a session, found none`)
  const session = JSON.parse(stored)
  session.count += 1
  assert.equal(await client.set(name, JSON.stringify(session), 'EX', LIFETIME), 'OK')
  return session
}

async function sessionsOutliveTheNode() {
  const client = ring(nodes)
  const names = await Promise.all(Array.from({ length: 12 }, (_, n) => begin(client, `user-${n}`)))
  for (let expected = 1; expected <= 5; expected++) {
    // All in one pipeline.
    const sessions = await Promise.all(names.map((name) => count(client, name)))
    assert.deepEqual(sessions, names.map((_, n) => ({ user: `user-${n}`, count: expected })))
  }
  await client.set('ends', 'soon', 'PX', 4000)
  const ends = Date.now() + 4000

  // Half of the sessions go on while the node dies; the other half rests.
  let dead = false
  const goingOn = names.slice(0, 6).map(async (name, n) => {
    let expected = 5
    while (!dead) assert.deepEqual(await count(client, name), { user: `user-${n}`, count: ++expected })
    return expected
  })
  await ask('kill me', 'killed')
  await sleep(1000)
  dead = true
  const counted = await Promise.all(goingOn)
  if (Date.now() < ends - 500) assert.equal(await client.get('ends'), 'soon')
  for (const [n, name] of names.entries()) {
    assert.deepEqual(await count(client, name), { user: `user-${n}`, count: (counted[n] ?? 5) + 1 })
    const left = await client.ttl(name)
    assert(left >= LIFETIME - 5 && left <= LIFETIME, `${name} was set to live ${LIFETIME} s, and has ${left} s left`)
  }
  await sleep(Math.max(0, ends + 2000 - Date.now()))
  assert.equal(await client.get('ends'), null)
  assert.equal(await client.del(names), 12)
  await client.quit()
}

// Stands in for a node that leaves the ring: READONLY to every SET. The real one comes next.
async function aNodeThatLeavesIsLeft() {
  let refused = 0
  const leaving = net.createServer((client) => {
    client.on('error', () => {})
    client.on('data', (bytes) => {
      const commands = bytes.toString().match(/^\*\d+\r\n\$\d+\r\n\w+/gm) ?? []
      for (const command of commands) {
        const name = command.split('\r\n')[2].toUpperCase()
        if (name === 'SET') refused += 1
        const answers = { HELLO: '%0', SET: '-READONLY this node leaves the ring' }
        client.write(`${answers[name] ?? '+OK'}\r\n`)
      }
    })
  })
  await new Promise((listening) => leaving.listen(0, '127.0.0.1', listening))
  const client = ring([`127.0.0.1:${leaving.address().port}`, ...nodes.slice(1)])
  assert.equal(await client.set('moved', 'on', 'EX', 60), 'OK')
  assert.equal(await client.getdel('moved'), 'on')
  assert.equal(refused, 1)
  await client.quit()
  leaving.close()
}

run(async () => {
  await sessionsOutliveTheNode()
  await aNodeThatLeavesIsLeft()
})

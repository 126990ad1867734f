// TRYAGAIN: two of three nodes hang. ioredis asks the third again, as `reconnectOnError` tells it to, until they go on.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { Redis } = require('ioredis')
const { ask, at, nodes, run } = require('./story.js')

const KEYS = 12

run(async () => {
  let refused = 0
  const client = new Redis({
    ...at(nodes[0]),
    retryStrategy: () => 100,
    maxRetriesPerRequest: null,
    reconnectOnError: (error) => {
      if (!/^(READONLY|TRYAGAIN) /.test(error.message)) return false
      refused += 1
      return 2
    },
  })
  client.on('error', (lost) => console.error(`connecting again: ${lost.message}`))
  const keys = Array.from({ length: KEYS }, (_, n) => `key:${n}`)
  for (const key of keys) assert.equal(await client.set(key, 'before'), 'OK')
  await ask('stop the others', 'stopped')
  const written = Promise.all(keys.map((key) => client.set(key, 'after')))
  let done = false
  written.then(() => (done = true))
  for (let waited = 0; refused === 0; waited += 1) {
    assert(waited < 600, 'TRYAGAIN was never said')
    await sleep(100)
  }
  assert(!done)
  await ask('let them go on', 'going on')
  assert.deepEqual(await written, keys.map(() => 'OK'))
  assert.deepEqual(await client.mget(keys), keys.map(() => 'after'))
  await client.quit()
})

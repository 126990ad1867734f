// BUSY: a thousand at once where tiny limits let in some. The caller asks again what was refused with that word, and only that; in
// the end all is counted as it was told, each once. (`reconnectOnError` would send what is under way again, too: as good for keys
// that are written whole, and not for counts.)
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { Redis } = require('ioredis')
const { at, nodes, run } = require('./story.js')

const KEYS = 200
const ROUNDS = 5

run(async () => {
  const client = new Redis(at(nodes[0]))
  let refused = 0
  const patiently = async (command) => {
    for (;;) {
      try {
        return await command()
      } catch (error) {
        if (!/^BUSY /.test(error.message)) throw error
        refused += 1
        await sleep(20 + Math.random() * 20)
      }
    }
  }
  const keys = Array.from({ length: KEYS }, (_, n) => `count:${n}`)
  const told = await Promise.all(
    keys.map((key) => Promise.all(Array.from({ length: ROUNDS }, () => patiently(() => client.incr(key))))),
  )
  assert(refused > 0, 'nothing was ever BUSY: the limits are not tiny enough')
  for (const counts of told) assert.deepEqual(counts.sort(), [1, 2, 3, 4, 5])
  for (const key of keys) assert.equal(await patiently(() => client.get(key)), String(ROUNDS))
  await client.quit()
})

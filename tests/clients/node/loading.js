// LOADING: the ready check of ioredis reads it from INFO, and keeps what it is asked until the node is in the ring.
const assert = require('node:assert/strict')
const { setTimeout: sleep } = require('node:timers/promises')
const { Redis } = require('ioredis')
const { ask, at, nodes, run } = require('./story.js')

run(async () => {
  const unready = new Redis({ ...at(nodes[0]), enableReadyCheck: false })
  await assert.rejects(unready.set('k', 'v'), /^ReplyError: LOADING /)
  assert.match(await unready.info('persistence'), /\bloading:1\b/)

  // As it comes, but that it looks more often than once a second.
  const client = new Redis({ ...at(nodes[0]), maxLoadingRetryTime: 100 })
  let ready = false
  client.once('ready', () => (ready = true))
  const counts = Array.from({ length: 5 }, () => client.incr('count'))
  await sleep(1000)
  assert(!ready, 'ioredis took a node without a ring for one that is ready')
  await ask('start the others', 'started')
  assert.deepEqual(await Promise.all(counts), [1, 2, 3, 4, 5])
  assert(ready)
  assert.match(await unready.info('persistence'), /\bloading:0\b/)
  assert.equal(await unready.get('count'), '5')
  await Promise.all([client.quit(), unready.quit()])
})

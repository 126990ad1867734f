// What the programs here have in common: the nodes, what they ask to be done to those, and how they end.
const assert = require('node:assert/strict')
const readline = require('node:readline')

const nodes = process.env.NODES.split(',')
const at = (node) => ({ host: node.split(':')[0], port: Number(node.split(':')[1]) })

// Asks whoever runs this for something, and returns when it is done.
async function ask(order, done) {
  console.log(order)
  const words = readline.createInterface({ input: process.stdin })
  assert.equal((await words[Symbol.asyncIterator]().next()).value, done)
  words.close()
}

// A rejection ends the process with its words and a status of 1.
async function run(story) {
  await story()
  console.log('kept')
}

module.exports = { ask, at, nodes, run }

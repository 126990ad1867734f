// One address in front of all nodes, as HAProxy or a service of Kubernetes is: a connection goes to the first node that answers,
// and ends when the node's does.
const net = require('node:net')

async function front(nodes) {
  const server = net.createServer((client) => {
    client.on('error', () => {})
    const connect = ([node, ...others]) => {
      if (!node) return client.destroy()
      const [host, port] = node.split(':')
      const up = net.connect(port, host)
      up.once('error', () => connect(others))
      up.once('connect', () => {
        up.removeAllListeners('error')
        up.on('error', () => client.destroy())
        up.on('close', () => client.destroy())
        client.on('close', () => up.destroy())
        client.pipe(up)
        up.pipe(client)
      })
    }
    connect(nodes)
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  return server.address().port
}

module.exports = { front }

// A site of Express, its sessions kept by connect-redis over node-redis, which knows one address. Serves until it is ended.
const express = require('express')
const session = require('express-session')
const { RedisStore } = require('connect-redis')
const { createClient } = require('redis')
const { front } = require('./front.js')

async function serve() {
  const port = await front(process.env.NODES.split(','))
  const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: 50 } })
  client.on('error', (lost) => console.log(`connecting again: ${lost.message}`))
  await client.connect()

  const site = express()
  site.use(
    session({
      store: new RedisStore({ client, ttl: Number(process.env.LIFETIME) }),
      secret: 'of this test',
      resave: false,
      saveUninitialized: false,
    }),
  )
  site.post('/login/:user', (request, response) => {
    request.session.user = request.params.user
    request.session.count = 0
    stored(request, response)
  })
  site.post('/count', (request, response) => {
    if (!request.session.user) return response.status(401).json({ error: 'nobody is logged in' })
    request.session.count += 1
    stored(request, response)
  })
  site.use((error, request, response, next) => {
    // A touch may fail after the answer: the session was stored then.
    if (!response.headersSent) response.status(503).json({ error: error.message })
  })

  const server = site.listen(0, '127.0.0.1', () => console.log(`serving at http://127.0.0.1:${server.address().port}`))
}

// express-session would send the answer even if the session could not be stored: what is not stored is not acknowledged.
function stored(request, response) {
  const { user, count } = request.session
  request.session.save((error) => (error ? response.status(503).json({ error: error.message }) : response.json({ user, count })))
}

serve()

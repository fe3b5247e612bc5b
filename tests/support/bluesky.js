// A Bluesky server (PDS) with the directory of names it needs (PLC), on loopback, for the tests.
//
//   node bluesky.js FOLDER PORT PLC_PORT
//
// .ci/servers installs what it needs, and NODE_PATH names where. All is in FOLDER and in memory.
const { randomBytes } = require('crypto')
const { mkdirSync } = require('fs')
const { Database, PlcServer } = require('@did-plc/server')
const { PDS, envToCfg, envToSecrets, readEnv } = require('@atproto/pds')

const [folder, port, plcPort] = process.argv.slice(2)

async function main() {
  await PlcServer.create({ db: Database.mock(), port: Number(plcPort) }).start()
  mkdirSync(`${folder}/blobs`, { recursive: true })
  Object.assign(process.env, {
    LOG_ENABLED: '0',
    PDS_ADMIN_PASSWORD: 'admin',
    PDS_BLOBSTORE_DISK_LOCATION: `${folder}/blobs`,
    PDS_DATA_DIRECTORY: folder,
    PDS_DEV_MODE: '1',
    PDS_DID_PLC_URL: `http://127.0.0.1:${plcPort}`,
    PDS_DISABLE_SSRF_PROTECTION: '1', // the directory is on loopback
    PDS_HOSTNAME: 'localhost',
    PDS_INVITE_REQUIRED: '0',
    PDS_JWT_SECRET: 'signs sessions',
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: randomBytes(32).toString('hex'),
    PDS_PORT: port,
    PDS_RATE_LIMITS_ENABLED: '1',
    PDS_SERVICE_HANDLE_DOMAINS: '.test',
  })
  const env = readEnv()
  const pds = await PDS.create(envToCfg(env), envToSecrets(env))
  await pds.start()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})

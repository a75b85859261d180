// BullMQ, as its documentation has it: bullmq.js PORT STAGE COUNT [CONCURRENCY]
//
// Stages: bulk and single put COUNT tasks into the queue, process works through COUNT that are there,
// latency sends COUNT at a hundred a second and works on them. Prints one line of JSON.

const { Queue, Worker } = require('bullmq');

const [port, stage, words, concurrency = '100'] = process.argv.slice(2);
const count = Number(words);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const CHUNK = 1000;
// Finished tasks are not kept: what is measured is the work, not a growing history.
const defaultJobOptions = { removeOnComplete: true, removeOnFail: true };
const now = () => performance.timeOrigin + performance.now();

const seconds = async (work) => {
  const started = now();
  await work();
  return { seconds: (now() - started) / 1000 };
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function work(begun, options) {
  let worker;
  let first;
  await new Promise((resolve, reject) => {
    let done = 0;
    worker = new Worker('bench', async (job) => { first ??= now(); begun(job); }, { connection, ...options });
    worker.on('completed', () => { done += 1; if (done === count) resolve(); });
    worker.on('failed', (_, error) => reject(error));
    worker.on('error', reject);
  });
  const last = now();
  await worker.close();
  return { seconds: (last - first) / 1000 };
}

async function main() {
  const queue = new Queue('bench', { connection, defaultJobOptions });
  await queue.waitUntilReady();
  let result;
  if (stage === 'bulk') {
    result = await seconds(async () => {
      for (let sent = 0; sent < count; sent += CHUNK) {
        const some = Array.from({ length: Math.min(CHUNK, count - sent) }, (_, i) => ({ name: 'noop', data: { n: sent + i } }));
        await queue.addBulk(some);
      }
    });
  } else if (stage === 'single') {
    result = await seconds(async () => {
      for (let n = 0; n < count; n += 1) await queue.add('noop', { n });
    });
  } else if (stage === 'process') {
    result = await work(() => {}, { concurrency: Number(concurrency) });
  } else if (stage === 'latency') {
    const latencies = [];
    const working = work((job) => { latencies.push(now() - job.data.sent); }, { concurrency: Number(concurrency) });
    const started = now() + 500;
    for (let n = 0; n < count; n += 1) {
      await sleep(Math.max(0, started + n * 10 - now()));
      queue.add('noop', { sent: now() });
    }
    await working;
    result = { latencies_ms: latencies };
  } else {
    throw new Error(`no such stage: ${stage}`);
  }
  await queue.close();
  console.log(JSON.stringify(result));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });

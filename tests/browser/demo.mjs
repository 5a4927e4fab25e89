// Starts `fineline demo` once on free ports and hands its links to the tests through the environment.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { freePort, program } from '../house.mjs';

export default async function demo() {
  const port = await freePort();
  const process_ = spawn(program, ['demo', '--people', '1500', '--seed', '7', '--port', String(port), '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  process_.stderr.on('data', (chunk) => (log += chunk));
  const links = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no links within 180 s:\n${log}`)), 180_000);
    createInterface({ input: process_.stdout }).on('line', (line) => {
      try {
        resolve(JSON.parse(line));
        clearTimeout(late);
      } catch {
        log += `${line}\n`;
      }
    });
    process_.on('exit', (code) => reject(new Error(`fineline demo ended with ${code}:\n${log}`)));
  });
  process.env.FINELINE_LINKS = JSON.stringify(links);
  return async () => {
    const gone = new Promise((resolve) => process_.on('exit', resolve));
    process_.kill('SIGINT');
    await gone;
  };
}

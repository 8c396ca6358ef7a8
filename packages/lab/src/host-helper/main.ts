/**
 * The root helper as a program: what `helper.command` of the agent's configuration names. The first argument is the
 * stage's control socket; the request comes on standard input, the answer goes to standard output.
 */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

const [socket] = process.argv.slice(2);
if (socket === undefined) {
  process.stderr.write('usage: host-helper SOCKET < request.json\n');
  process.exitCode = 2;
} else {
  const request = await text(process.stdin);
  const stage = connect(socket);
  stage.on('error', (error) => {
    process.stderr.write(`cannot reach the stage at ${socket}: ${error.message}\n`);
    process.exitCode = 1;
  });
  stage.on('connect', () => stage.end(request));
  stage.pipe(process.stdout);
}

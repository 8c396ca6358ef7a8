// Runs inside the VM as whichever user asks: sends each document of stdin (a JSON array of texts) to the socket in argv
// over a connection of its own, and prints what came back as a JSON array. What cannot connect says why.
import { createConnection } from 'node:net';
import { json } from 'node:stream/consumers';

const ask = (document) =>
  new Promise((resolve) => {
    const connection = createConnection({ path: process.argv[2], allowHalfOpen: true });
    let answer = '';
    connection.setEncoding('utf8');
    connection.on('data', (text) => (answer += text));
    connection.on('error', (error) => resolve(`${error.code} ${answer}`));
    connection.on('end', () => connection.end());
    connection.on('close', () => resolve(answer));
    connection.end(document);
  });
const answers = [];
for (const document of await json(process.stdin)) answers.push(await ask(document));
console.log(JSON.stringify(answers));

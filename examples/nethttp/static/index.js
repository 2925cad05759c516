const at = (id) => document.getElementById(id);

async function ask(path, options) {
  const response = await fetch(path, options);
  const answer = response.status === 204 ? null : await response.json();
  at('error').textContent = response.ok ? '' : answer.error;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function line(...content) {
  const item = document.createElement('li');
  item.append(...content);
  return item;
}

function remover(path) {
  const button = document.createElement('button');
  button.textContent = 'Delete';
  button.onclick = () => ask(path, { method: 'DELETE' });
  return button;
}

async function showNotes() {
  const { notes } = await ask('notes');
  at('notes').replaceChildren(...notes.map((note) => line(`${note.title} ${note.text}`, remover(`notes/${note.id}`))));
}

async function showFiles() {
  const { files } = await ask('files');
  at('files').replaceChildren(...files.map((file) => {
    const path = `files/${encodeURIComponent(file.name)}`;
    const link = document.createElement('a');
    link.href = path;
    link.textContent = `${file.name}, ${file.size} bytes`;
    return line(link, remover(path));
  }));
}

function onSubmit(id, act) {
  at(id).onsubmit = async (event) => {
    event.preventDefault();
    await act(new FormData(event.target));
    event.target.reset();
  };
}

onSubmit('note', (form) => ask('notes', {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(Object.fromEntries(form)),
}));

onSubmit('file', (form) => ask('files', { method: 'POST', body: form }));

const chat = new WebSocket(new URL('chat', location.href.replace(/^http/, 'ws')));
chat.onmessage = (message) => at('messages').append(line(message.data));
chat.onclose = (end) => at('messages').append(line(`closed: ${end.reason || end.code}`));
onSubmit('chat', (form) => chat.send(form.get('message')));

const events = new EventSource('events');
for (const name of ['note-created', 'note-deleted', 'file-stored', 'file-deleted']) {
  events.addEventListener(name, (event) => {
    at('events').prepend(line(`${name}: ${event.data}`));
    return name.startsWith('note') ? showNotes() : showFiles();
  });
}

showNotes();
showFiles();

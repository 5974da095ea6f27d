/* Asks an exported model without Python: TensorFlow's C API alone.

     ask VERSION_FOLDER SIGNATURE name=value ...     one request; a name that comes again is the next row
     ask VERSION_FOLDER                              a request a line from stdin: SIGNATURE TAB name=value TAB ...

   Every input of the signature needs the same number of values. Each output is a line: name TAB dtype TAB shape
   (3 or 3x5) TAB value TAB value ..., row by row; an empty line ends each reply to stdin. In those lines \xHH is the
   byte HH of a string (written for control characters and the backslash). What is wrong is a line "ask: ..." on
   stderr, and the exit code is then 1. How to build it: docs/serving.md. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

/* tensorflow::DisableXlaCompilation(), which TensorFlow Serving calls when it starts. */
extern void _ZN10tensorflow21DisableXlaCompilationEv(void);

enum { MOST_TENSORS = 32, MOST_FIELDS = 4096 };

typedef struct { const char *data; size_t size; } Bytes;
typedef struct { Bytes key; TF_Output place; TF_DataType dtype; } Info; /* an input or output of a signature */
typedef struct { Info inputs[MOST_TENSORS], outputs[MOST_TENSORS]; int num_inputs, num_outputs; } Signature;

static int complain(const char *format, ...) {
  char line[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  for (char *c = line; *c; c++) if (*c == '\n') *c = ' ';
  fprintf(stderr, "ask: %s\n", line);
  return 0;
}

static int fine(TF_Status *status) { return TF_GetCode(status) == TF_OK || complain("%s", TF_Message(status)); }

static int same(Bytes a, Bytes b) { return a.size == b.size && !memcmp(a.data, b.data, a.size); }

/* ---- protobuf, as much as MetaGraphDef.signature_def needs (tensorflow/core/protobuf/meta_graph.proto) ---- */

static uint64_t varint(Bytes *message) {
  uint64_t value = 0;
  for (int shift = 0, more = 1; more && message->size && shift < 64; shift += 7) {
    unsigned char byte = (unsigned char)*message->data;
    message->data++, message->size--;
    value |= (uint64_t)(byte & 127) << shift;
    more = byte & 128;
  }
  return value;
}

/* The number of the next field, 0 at the end; `*payload` is what it holds, or `*value` if that is a number. */
static int field(Bytes *message, Bytes *payload, uint64_t *value) {
  uint64_t key = varint(message), size = 0;
  switch (key & 7) {
    case 0: *value = varint(message); break;
    case 1: size = 8; break;
    case 2: size = varint(message); break;
    case 5: size = 4; break;
    default: return 0;
  }
  if (size > message->size) return 0;
  *payload = (Bytes){message->data, size};
  message->data += size, message->size -= size;
  return (int)(key >> 3);
}

/* Field `number` of a message, empty if it has none. */
static Bytes part(Bytes message, int number) {
  Bytes payload, found = {"", 0};
  uint64_t value;
  for (int n; (n = field(&message, &payload, &value));) if (n == number) found = payload;
  return found;
}

static int read_info(Bytes entry, TF_Graph *graph, Info *info) { /* an entry of map<string, TensorInfo> */
  Bytes tensor = part(entry, 2), name = part(tensor, 1), payload;
  char operation[512]; /* and which of its outputs: "operation:0" */
  uint64_t value;
  info->key = part(entry, 1), info->dtype = 0;
  for (int n; (n = field(&tensor, &payload, &value));) if (n == 2) info->dtype = (TF_DataType)value;
  snprintf(operation, sizeof operation, "%.*s", (int)name.size, name.data);
  char *colon = strrchr(operation, ':');
  if (colon) *colon = 0;
  info->place = (TF_Output){TF_GraphOperationByName(graph, operation), colon ? atoi(colon + 1) : 0};
  return info->place.oper || complain("the graph has no operation '%s'", operation);
}

static int read_signature(Bytes meta_graph, TF_Graph *graph, Bytes wanted, Signature *signature) {
  Bytes entry, side;
  uint64_t value;
  for (int n; (n = field(&meta_graph, &entry, &value));) {
    if (n != 5 || !same(part(entry, 1), wanted)) continue;
    Bytes definition = part(entry, 2);
    signature->num_inputs = signature->num_outputs = 0;
    while ((n = field(&definition, &side, &value))) {
      int *count = n == 1 ? &signature->num_inputs : &signature->num_outputs;
      if (n > 2) continue;
      if (*count == MOST_TENSORS) return complain("a signature of more than %d tensors", MOST_TENSORS);
      if (!read_info(side, graph, (n == 1 ? signature->inputs : signature->outputs) + (*count)++)) return 0;
    }
    return 1;
  }
  return complain("the export has no signature '%.*s'", (int)wanted.size, wanted.data);
}

/* ---- requests and replies ---- */

static const char *type_name(TF_DataType dtype) { /* NULL for a type that is not written or read here */
  static const char *names[] = {[TF_FLOAT] = "float32", [TF_INT32] = "int32", [TF_STRING] = "string",
                                [TF_INT64] = "int64", [TF_BOOL] = "bool"};
  return dtype < sizeof names / sizeof *names ? names[dtype] : NULL;
}

static int write_value(Bytes text, TF_DataType dtype, void *to) {
  char copy[64], *end = copy;
  long long number = 0;
  if (dtype == TF_STRING) return TF_StringInit(to), TF_StringCopy(to, text.data, text.size), 1;
  snprintf(copy, sizeof copy, "%.*s", (int)text.size, text.data);
  errno = 0;
  if (dtype == TF_FLOAT) *(float *)to = strtof(copy, &end), errno = 0; /* what is too large is infinite */
  else number = strtoll(copy, &end, 10);
  if (dtype == TF_INT64) *(int64_t *)to = number;
  if (dtype == TF_INT32) *(int32_t *)to = (int32_t)number, errno |= number != (int32_t)number;
  if (dtype == TF_BOOL) *(unsigned char *)to = number != 0, errno |= number >> 1 != 0;
  return end != copy && !*end && !errno && strlen(copy) == text.size;
}

/* The rows of one input, [B], from fields "name=value"; NULL after a complaint. */
static TF_Tensor *make_input(const Info *info, const Bytes *fields, int count) {
  size_t width = info->dtype == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(info->dtype), name = info->key.size;
  const Bytes *rows[MOST_FIELDS];
  int64_t size = 0;
  if (!type_name(info->dtype)) return complain("%.*s is of a type unknown here", (int)name, info->key.data), NULL;
  for (const Bytes *f = fields; f < fields + count; f++)
    if (f->size > name && f->data[name] == '=' && same((Bytes){f->data, name}, info->key)) rows[size++] = f;
  TF_Tensor *tensor = TF_AllocateTensor(info->dtype, &size, 1, (size_t)size * width);
  for (int64_t i = 0; i < size; i++) {
    Bytes text = {rows[i]->data + name + 1, rows[i]->size - name - 1};
    if (!write_value(text, info->dtype, (char *)TF_TensorData(tensor) + (size_t)i * width)) {
      complain("'%.*s' is no value for %.*s", (int)text.size, text.data, (int)name, info->key.data);
      TF_DeleteTensor(tensor);
      return NULL;
    }
  }
  return tensor;
}

static void free_input(TF_Tensor *tensor) {
  int64_t size = TF_TensorType(tensor) == TF_STRING ? TF_TensorElementCount(tensor) : 0;
  while (size--) TF_StringDealloc((TF_TString *)TF_TensorData(tensor) + size);
  TF_DeleteTensor(tensor);
}

static void print_string(const TF_TString *string) {
  const char *text = TF_StringGetDataPointer(string), *end = text + TF_StringGetSize(string);
  for (; text < end; text++)
    printf((unsigned char)*text < 32 || *text == '\\' ? "\\x%02x" : "%c", (unsigned char)*text);
}

static int print_output(const Info *info, TF_Tensor *tensor) {
  TF_DataType dtype = TF_TensorType(tensor);
  const void *data = TF_TensorData(tensor);
  if (!type_name(dtype)) return complain("an output of type %d", (int)dtype);
  printf("%.*s\t%s\t", (int)info->key.size, info->key.data, type_name(dtype));
  for (int i = 0; i < TF_NumDims(tensor); i++) printf(i ? "x%lld" : "%lld", (long long)TF_Dim(tensor, i));
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) {
    putchar('\t');
    if (dtype == TF_STRING) print_string((const TF_TString *)data + i);
    if (dtype == TF_FLOAT) printf("%.9g", ((const float *)data)[i]);
    if (dtype == TF_INT32) printf("%ld", (long)((const int32_t *)data)[i]);
    if (dtype == TF_INT64) printf("%lld", (long long)((const int64_t *)data)[i]);
    if (dtype == TF_BOOL) putchar(((const unsigned char *)data)[i] ? '1' : '0');
  }
  return putchar('\n') == '\n';
}

/* Runs the signature fields[0] on "name=value" fields[1...] and prints its outputs. */
static int answer(TF_Session *session, TF_Graph *graph, Bytes meta_graph, const Bytes *fields, int count) {
  Signature signature;
  TF_Output from[MOST_TENSORS], to[MOST_TENSORS];
  TF_Tensor *inputs[MOST_TENSORS], *outputs[MOST_TENSORS] = {0};
  if (!read_signature(meta_graph, graph, *fields, &signature)) return 0;
  int made = 0, used = 1, ok = 1;
  for (; ok && made < signature.num_inputs; made += ok) {
    to[made] = signature.inputs[made].place;
    inputs[made] = make_input(signature.inputs + made, fields + 1, count - 1);
    if ((ok = inputs[made] != NULL)) used += (int)TF_Dim(inputs[made], 0);
  }
  if (ok && used != count) ok = complain("%d fields are no input=value of this signature", count - used);
  for (int i = 0, rows; i < made && ok; i++) {
    Bytes key = signature.inputs[i].key;
    rows = (int)TF_Dim(inputs[i], 0);
    ok = (rows && rows == TF_Dim(inputs[0], 0)) || complain("%.*s has %d values", (int)key.size, key.data, rows);
  }
  for (int i = 0; i < signature.num_outputs; i++) from[i] = signature.outputs[i].place;
  TF_Status *status = TF_NewStatus();
  if (ok) TF_SessionRun(session, NULL, to, inputs, made, from, outputs, signature.num_outputs, NULL, 0, NULL, status);
  ok = ok && fine(status);
  TF_DeleteStatus(status);
  for (int i = 0; i < signature.num_outputs && outputs[i]; TF_DeleteTensor(outputs[i++]))
    ok = ok && print_output(signature.outputs + i, outputs[i]);
  while (made--) free_input(inputs[made]);
  return ok;
}

/* Splits a line at its tabs and puts bytes for \xHH, in place; returns the number of fields. */
static int split(char *line, Bytes *fields) {
  int count = 0;
  char *to = line, digits[3] = "";
  fields[0] = (Bytes){line, 0};
  for (char *from = line; *from && *from != '\n'; from++) {
    if (*from == '\t' && count + 1 < MOST_FIELDS && ++count) fields[count] = (Bytes){to, 0};
    else {
      int escaped = !strncmp(from, "\\x", 2) && from[2] && from[3];
      if (escaped) memcpy(digits, from + 2, 2), from += 3;
      *to++ = escaped ? (char)strtol(digits, NULL, 16) : *from, fields[count].size++;
    }
  }
  return count + 1;
}

int main(int argc, char **argv) {
  static Bytes fields[MOST_FIELDS];
  const char *tags[] = {"serve"};
  if (argc < 2) return !complain("give VERSION_FOLDER SIGNATURE name=value ..., or requests on stdin");
  _ZN10tensorflow21DisableXlaCompilationEv();
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_Buffer *meta = TF_NewBuffer();
  TF_Session *session =
      TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, argv[1], tags, 1, graph, meta, status);
  if (!fine(status)) return 1;
  Bytes meta_graph = {meta->data, meta->length};
  int ok = 1, count = 0;
  for (char **word = argv + 2; word < argv + argc && count < MOST_FIELDS; word++)
    fields[count++] = (Bytes){*word, strlen(*word)};
  if (count) return !answer(session, graph, meta_graph, fields, count);
  char *line = NULL;
  for (size_t space = 0; getline(&line, &space, stdin) >= 0; puts(""), fflush(stdout))
    ok &= answer(session, graph, meta_graph, fields, split(line, fields));
  return !ok;
}

// NVML of one card that runs hot, by the header that NVIDIA publishes. With SILENT it says nothing of it.

#include <nvml.h>

#ifdef SILENT
#define SAY(statement) return NVML_ERROR_NOT_SUPPORTED
#else
#define SAY(statement)                                                                            \
    do {                                                                                          \
        statement;                                                                                \
        return NVML_SUCCESS;                                                                      \
    } while (0)
#endif

static int place;
static const nvmlDevice_t card = (nvmlDevice_t)&place;

nvmlReturn_t nvmlInit_v2(void) { return NVML_SUCCESS; }
nvmlReturn_t nvmlShutdown(void) { return NVML_SUCCESS; }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    *device = card;
    return index == 0 ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    SAY(*rates = ((nvmlUtilization_t){.gpu = 97, .memory = 40}));
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    SAY((memory->total = 85ull << 30, memory->reserved = 1ull << 30, memory->used = 70ull << 30,
         memory->free = 14ull << 30));
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    SAY(*milliwatts = 651500);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *celsius) {
    SAY(*celsius = sensor == NVML_TEMPERATURE_GPU ? 91 : 0);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
    SAY(*reasons = nvmlClocksThrottleReasonSwPowerCap | nvmlClocksThrottleReasonHwThermalSlowdown);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t kind,
                                         nvmlEccCounterType_t counter, unsigned long long *count) {
    SAY(*count = kind == NVML_MEMORY_ERROR_TYPE_UNCORRECTED && counter == NVML_VOLATILE_ECC ? 2 : 99);
}

static int wanted, told;

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) { SAY(*set = (nvmlEventSet_t)&wanted); }
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) { return NVML_SUCCESS; }

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    SAY(wanted = types == nvmlEventTypeXidCriticalError);
}

// One fault, and then none.
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int milliseconds) {
    if (!wanted || told) return NVML_ERROR_TIMEOUT;
    told = 1;
    *data = (nvmlEventData_t){.device = card, .eventType = nvmlEventTypeXidCriticalError, .eventData = 79};
    return NVML_SUCCESS;
}

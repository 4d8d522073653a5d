# bpf_object(NAME SOURCE ARCHES...)
#
# Compiles SOURCE (a .bpf.c) for the build machine's architecture and makes the libbpf skeleton
# <build>/bpf/include/<NAME>.skel.h, offered by the interface target `weft_bpf_<NAME>`.
# Other architectures are compiled too (target `bpf_<NAME>_<arch>`), so that they cannot rot.
function(bpf_object NAME SOURCE)
  set(out ${CMAKE_BINARY_DIR}/bpf)
  file(MAKE_DIRECTORY ${out}/include)
  set(arch_x86_64 x86)
  set(arch_aarch64 arm64)
  foreach(cpu IN ITEMS x86_64 aarch64)
    set(object ${out}/${NAME}.${cpu}.bpf.o)
    add_custom_command(
      OUTPUT ${object}
      COMMAND clang -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_${arch_${cpu}} -Wall -Wextra -Werror
              -Wno-unused-parameter -Wno-missing-declarations
              -I${CMAKE_SOURCE_DIR}/bpf -I${CMAKE_SOURCE_DIR}/kernel-headers/${cpu}
              -I${CMAKE_SOURCE_DIR}/kernel-headers -MD -MF ${object}.d
              -c ${CMAKE_CURRENT_SOURCE_DIR}/${SOURCE} -o ${object}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${SOURCE}
      DEPFILE ${object}.d
      VERBATIM)
    add_custom_target(bpf_${NAME}_${cpu} ALL DEPENDS ${object})
  endforeach()
  set(native ${out}/${NAME}.${CMAKE_SYSTEM_PROCESSOR}.bpf.o)
  set(skeleton ${out}/include/${NAME}.skel.h)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND sh -c "bpftool gen object ${out}/${NAME}.linked.o ${native} && bpftool gen skeleton ${out}/${NAME}.linked.o name ${NAME} > ${skeleton}"
    DEPENDS ${native}
    VERBATIM)
  add_custom_target(bpf_${NAME}_skeleton DEPENDS ${skeleton})
  add_library(weft_bpf_${NAME} INTERFACE)
  add_dependencies(weft_bpf_${NAME} bpf_${NAME}_skeleton)
  target_include_directories(weft_bpf_${NAME} SYSTEM INTERFACE ${out}/include)
endfunction()
